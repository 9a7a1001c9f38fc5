//! People and programs on the web.

use crate::day::Day;
use crate::net::hello_row;
use crate::wire::{Answer, udp};

pub(crate) const BROWSERS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:136.0) Gecko/20100101 Firefox/136.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
];
const SITES: [&str; 28] = [
    "www.wikipedia.org",
    "www.nytimes.com",
    "www.bbc.co.uk",
    "www.spiegel.de",
    "www.lemonde.fr",
    "github.com",
    "stackoverflow.com",
    "www.amazon.com",
    "www.ebay.de",
    "www.reddit.com",
    "www.youtube.com",
    "mail.google.com",
    "outlook.office365.com",
    "teams.microsoft.com",
    "slack.com",
    "www.linkedin.com",
    "www.booking.com",
    "www.imdb.com",
    "docs.python.org",
    "crates.io",
    "www.weather.com",
    "maps.googleapis.com",
    "fonts.gstatic.com",
    "cdn.jsdelivr.net",
    "s3.eu-central-1.amazonaws.com",
    "login.microsoftonline.com",
    "static.xx.fbcdn.net",
    "www.heise.de",
];
const SYLLABLES: [&str; 16] = [
    "ba", "ker", "lin", "mo", "ton", "shop", "gar", "den", "web", "cam", "ra", "mil", "for", "est",
    "sun", "nor",
];

/// A site with a made-up name of ordinary length.
pub(crate) fn site(day: &mut Day) -> String {
    let count = day.random.within(2, 4);
    let name: String = (0..count).map(|_| day.random.pick(&SYLLABLES)).collect();
    format!(
        "{name}.{}",
        day.random
            .pick(&["com", "net", "org", "de", "fr", "co.uk", "io"])
    )
}

fn any_site(day: &mut Day) -> String {
    if day.random.below(3) > 0 {
        day.random.pick(&SITES).to_owned()
    } else {
        format!("www.{}", site(day))
    }
}

/// A page with what it loads from other hosts.
pub(crate) fn browse_tls(day: &mut Day) {
    let (client, mut at) = (day.client(), day.start());
    for _ in 0..day.random.within(2, 7) {
        let name = any_site(day);
        let address = day.resolve(at, client, &name);
        let segments = day.random.within(4, 30);
        day.tls(at + 70_000, client, (address, 443), &name, segments);
        at += day.random.within(5_000, 300_000);
    }
}

/// A page in the clear: its parts lie in a handful of folders, pictures and tracking apart.
pub(crate) fn browse_http(day: &mut Day) {
    let (client, at, name) = (day.client(), day.start(), format!("www.{}", site(day)));
    let address = day.resolve(at, client, &name);
    let agent = day.random.pick(&BROWSERS);
    let number = day.random.below(9000);
    let mut paths = vec![
        format!("/articles/{number}.html"),
        "/favicon.ico".to_owned(),
    ];
    for _ in 0..day.random.within(6, 30) {
        let folder = day.random.pick(&[
            "css",
            "js",
            "images",
            "static",
            "assets/img",
            "wp-content/uploads/2024",
        ]);
        let version = if day.random.below(4) == 0 {
            format!("?v={}", day.random.below(99))
        } else {
            String::new()
        };
        paths.push(format!(
            "/{folder}/{}.{}{version}",
            day.random.hex(6),
            day.random.pick(&["css", "js", "png", "jpg", "woff2"])
        ));
    }
    let mut conn = day.open(at + 70_000, client, (address, 80));
    for path in paths {
        conn.request(
            &format!("GET {path}"),
            &name,
            agent,
            &format!("Referer: http://{name}/"),
            "image/png",
            3,
        );
    }
    conn.close();
}

pub(crate) fn quic(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let name = day.random.pick(&[
        "www.google.com",
        "www.youtube.com",
        "i.ytimg.com",
        "www.cloudflare.com",
        "www.facebook.com",
    ]);
    let server = (day.resolve(at, client, name), 443);
    // A browser holds one connection a host; several hosts share an address.
    for _ in 0..day.random.within(1, 4) {
        let client = (client, day.random.port());
        let first = hello_row(day.random.pick(&["quic_v1", "quic_v2"]));
        let mut at = at + day.random.within(60_000, 900_000);
        day.send(at, udp(client, server, &first));
        at += 20_000;
        day.send(
            at,
            udp(
                server,
                client,
                &[[0xc5].as_slice(), &[0, 0, 0, 1, 0, 8], &[0x11; 1190]].concat(),
            ),
        );
        for n in 0..day.random.within(5, 60) {
            at += 700;
            let (src, dst) = if n % 4 == 0 {
                (client, server)
            } else {
                (server, client)
            };
            day.send(at, udp(src, dst, &[0x4d; 1200]));
        }
    }
}

pub(crate) fn cdn_labels(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    let name = match day.random.below(5) {
        0 => format!("d{}.cloudfront.net", day.random.text(letters, 13)),
        1 => format!("e{}.dscb.akamaiedge.net", day.random.below(99_999)),
        2 => format!(
            "r{}---sn-{}.googlevideo.com",
            day.random.within(1, 9),
            day.random.text(letters, 8)
        ),
        3 => format!("{}.azureedge.net", day.random.text(letters, 12)),
        _ => format!("{}.b-cdn.net", day.random.text(letters, 10)),
    };
    let address = day.resolve(at, client, &name);
    day.tls(at + 80_000, client, (address, 443), &name, 10);
}

/// Names whose first label is a hash: ad frames, clusters, checks of certificates, buckets.
pub(crate) fn long_labels(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let hash = day.random.hex(32);
    let name = match day.random.below(4) {
        0 => format!("{hash}.safeframe.googlesyndication.com"),
        1 => format!("{hash}.gr7.eu-central-1.eks.amazonaws.com"),
        2 => format!("{hash}.acm-validations.aws"),
        _ => format!("{hash}.cdn.cloudinary.net"),
    };
    let address = day.resolve(at, client, &name);
    day.tls(at + 80_000, client, (address, 443), &name, 6);
}

fn download(day: &mut Day, host: &str, path: &str, agent: &str, kind: &str, segments: u64) {
    let (client, at) = (day.client(), day.start());
    let address = day.resolve(at, client, host);
    let mut conn = day.open(at + 70_000, client, (address, 80));
    conn.request(
        &format!("GET {path}"),
        host,
        agent,
        "Range: bytes=0-4194303",
        kind,
        segments,
    );
    conn.close();
}

pub(crate) fn os_update(day: &mut Day) {
    let (a, b) = (day.random.hex(40), day.random.hex(8));
    let (host, path, agent, kind) = match day.random.below(7) {
        0 => (
            "download.windowsupdate.com",
            format!("/c/msdownload/update/software/secu/2025/03/windows10.0-kb5053602-x64_{a}.cab"),
            "Windows-Update-Agent/10.0.10011.16384 Client-Protocol/2.33",
            "application/vnd.ms-cab-compressed",
        ),
        1 => (
            "au.download.windowsupdate.com",
            format!("/d/msdownload/update/software/defu/2025/03/am_delta_patch_1.425.{b}_{a}.exe"),
            "Microsoft-Delivery-Optimization/10.0",
            "application/octet-stream",
        ),
        2 => (
            "edgedl.me.gvt1.com",
            format!("/edgedl/release2/chrome/{b}_134.0.6998.89/134.0.6998.89_chrome_installer.exe"),
            "Google Update/1.3.36.372;winhttp",
            "application/x-msdos-program",
        ),
        3 => (
            "dl.delivery.mp.microsoft.com",
            format!("/filestreamingservice/files/{a}?P1=1741888000&P2=404&P3=2&P4={b}%2b{b}%3d%3d"),
            "Microsoft-Delivery-Optimization/10.1",
            "application/octet-stream",
        ),
        4 => (
            "ardownload.adobe.com",
            "/pub/adobe/reader/win/AcrobatDC/2400520400/AcroRdrDCUpd2400520400.msp".to_owned(),
            "Adobe Update Manager 6.0",
            "application/octet-stream",
        ),
        5 => (
            "deb.debian.org",
            format!("/debian/pool/main/o/openssl/libssl3_3.0.15-1_amd64.deb?{b}"),
            "Debian APT-HTTP/1.3 (2.6.1)",
            "application/vnd.debian.binary-package",
        ),
        _ => (
            "swcdn.apple.com",
            format!("/content/downloads/12/34/{b}/{a}/InstallAssistant.pkg"),
            "MacSoftwareUpdate (unknown version) CFNetwork/1496.0.7 Darwin/23.5.0",
            "application/octet-stream",
        ),
    };
    download(day, host, &path, agent, kind, 700);
}

/// Vendors who still offer installers with short names in the clear.
pub(crate) fn small_installer(day: &mut Day) {
    let (host, path) = match day.random.below(3) {
        0 => ("dl.printervendor.com", "/drivers/win/setup.exe"),
        1 => ("downloads.camvendor.com", "/firmware/c210/update.bin"),
        _ => ("www.7-zip.org", "/a/7z2409-x64.exe"),
    };
    let agent = day.random.pick(&BROWSERS);
    download(day, host, path, agent, "application/octet-stream", 700);
}

pub(crate) fn captive(day: &mut Day) {
    let (host, path, agent) = match day.random.below(4) {
        0 => (
            "www.msftconnecttest.com",
            "/connecttest.txt",
            "Microsoft NCSI",
        ),
        1 => (
            "connectivitycheck.gstatic.com",
            "/generate_204",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.32 Safari/537.36",
        ),
        2 => (
            "captive.apple.com",
            "/hotspot-detect.html",
            "CaptiveNetworkSupport-481.100.2 wispr",
        ),
        _ => (
            "detectportal.firefox.com",
            "/success.txt?ipv4",
            "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0",
        ),
    };
    download(day, host, path, agent, "text/plain", 1);
}

pub(crate) fn ocsp(day: &mut Day) {
    let (host, agent) = (
        day.random.pick(&[
            "ocsp.digicert.com",
            "r11.o.lencr.org",
            "ocsp.sectigo.com",
            "o.pki.goog",
        ]),
        "Microsoft-CryptoAPI/10.0",
    );
    let digest = day
        .random
        .text("ABCDEFGHIJKLMNOPabcdefghijklmnop0123456789", 60);
    download(
        day,
        host,
        &format!("/MFEwTzBNMEswSTAJBgUrDgMCGgUABBS{digest}%2FUCEA%3D%3D"),
        agent,
        "application/ocsp-response",
        1,
    );
}

/// Searches and forms: words that are also words of SQL, quotes, signs and markup.
pub(crate) fn forms(day: &mut Day) {
    let (client, at, name) = (day.client(), day.start(), format!("www.{}", site(day)));
    let address = day.resolve(at, client, &name);
    let agent = day.random.pick(&BROWSERS);
    let query = day.random.pick(&[
        "/search?q=select+a+car",
        "/search?q=o%27reilly+books",
        "/search?q=rock+%26+roll+or+jazz",
        "/search?q=union+station+chicago",
        "/search?q=c%2B%2B+%3Cvector%3E",
        "/search?q=order+by+phone",
        "/list?price=10-20&sort=price_desc&page=3",
        "/search?q=%22exact+words%22+-not",
        "/go?url=https%3A%2F%2Fexample.org%2Fa%3Fb%3Dc",
        "/search?q=how+to+update+windows+and+insert+a+disk",
        "/search?q=where+is+my+order",
        "/search?q=alert+level+today",
        "/search?q=sleep+well",
        "/calc?expr=1%2B1%3D2",
        "/search?q=cats+and+1+dog",
        "/item?id=17&colour=red%2Cblue",
        "/search?q=ping+pong+table",
        "/p?sid=8f3a&t=1741888000",
    ]);
    let query = match day.random.below(100) {
        0 => "/search?q=select+a+car+from+the+list+of+cars",
        1 => "/s?k=drop+table+leaf+desk&ref=nb_sb_noss",
        _ => query,
    };
    let body = day.random.pick(&[
        "name=Anna+O%27Neill&city=St.+John%27s&comment=I+%3C3+it%21",
        "comment=a+%3C+b+and+c+%3E+d&ok=1",
        "user=anna&password=x%27y%22z%3C1%3E&csrf=8a7c",
        "message=Please+keep+two+seats+in+row+7+for+us&mail=a%40b.org",
        "text=%3Cp%3EHello+%3Cb%3Eworld%3C%2Fb%3E%3C%2Fp%3E",
        "q=50%25+off+%28today%29",
    ]);
    // Few sentences read like SQL.
    let body = match day.random.below(100) {
        0 => "message=Please+select+two+seats+from+row+7+where+possible&mail=a%40b.org",
        _ => body,
    };
    let mut conn = day.open(at + 70_000, client, (address, 80));
    conn.request(&format!("GET {query}"), &name, agent, "", "text/html", 8);
    conn.pause(900_000);
    conn.request(
        "POST /contact",
        &name,
        agent,
        &format!("Content-Type: application/x-www-form-urlencoded\n\n{body}"),
        "text/html; charset=utf-8",
        2,
    );
    conn.close();
}

pub(crate) fn rest(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let name = format!("api.{}", site(day));
    let address = day.resolve(at, client, &name);
    let body = day.random.pick(&[
        "{\"id\":17,\"name\":\"O'Neill\",\"tags\":[\"a\",\"b\"],\"filter\":{\"price\":{\"$gt\":10}}}", "{\"query\":\"query { user(id: 4) { name, orders(first: 5) { total } } }\"}",
        "{\"event\":\"click\",\"x\":1.5,\"url\":\"https://a.example/?q=1&r=2\"}", "{\"jsonrpc\":\"2.0\",\"method\":\"eth_call\",\"params\":[{\"to\":\"0x00\"},\"latest\"],\"id\":1}",
    ]);
    let id = day.random.below(99_999);
    let mut conn = day.open(at + 70_000, client, (address, 80));
    for n in 0..4 {
        conn.request(
            &format!("POST /v1/items/{id}/{n}"),
            &name,
            "okhttp/4.12.0",
            &format!(
                "Content-Type: application/json\nAuthorization: Bearer eyJhbGciOi.J9\n\n{body}"
            ),
            "application/json",
            1,
        );
    }
    conn.close();
}

/// Programs with user agents of their own.
pub(crate) fn agents(day: &mut Day) {
    let agent = day.random.pick(&[
        "curl/8.5.0",
        "python-requests/2.31.0",
        "okhttp/4.12.0",
        "Go-http-client/1.1",
        "Wget/1.21.4",
        "Java/17.0.10",
        "axios/1.7.2",
        "Apache-HttpClient/4.5.14 (Java/17.0.10)",
        "Windows-Update-Agent/10.0.10011.16384 Client-Protocol/2.33",
        "Microsoft BITS/7.8",
        "Debian APT-HTTP/1.3 (2.6.1)",
        "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP2A)",
        "Spotify/8.9 Android/34 (Pixel 8)",
        "VLC/3.0.20 LibVLC/3.0.20",
        "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)",
        "pip/24.0 {\"ci\":null,\"python\":\"3.12.3\"}",
        "npm/10.2.4 node/v20.11.1 linux x64 workspaces/false",
        "Steam/1.0",
        "Zoom/6.0 (Win 10.0)",
        "CFNetwork/1496.0.7 Darwin/23.5.0",
        "node-fetch/1.0",
        "PostmanRuntime/7.37.0",
        "aws-sdk-go/1.44 (go1.21; linux; amd64)",
    ]);
    let host = format!("svc.{}", site(day));
    let path = format!(
        "/v2/{}/status.json?since={}",
        day.random.hex(6),
        day.random.below(99_999)
    );
    download(day, &host, &path, agent, "application/json", 2);
}

pub(crate) fn websocket(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let name = format!("ws.{}", site(day));
    let address = day.resolve(at, client, &name);
    let agent = day.random.pick(&BROWSERS);
    let mut conn = day.open(at + 70_000, client, (address, 80));
    conn.request("GET /chat?room=7&transport=websocket", &name, agent, "Upgrade: websocket\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13", "text/plain", 0);
    for _ in 0..20 {
        conn.says(&[0x81; 40]);
        conn.hears(&[0x81; 200]);
        conn.pause(1_000_000);
    }
    conn.close();
}

pub(crate) fn git(day: &mut Day) {
    let (client, at, name) = (day.client(), day.start(), "git.kernel.org");
    let address = day.resolve(at, client, name);
    let mut conn = day.open(at + 70_000, client, (address, 80));
    conn.request(
        "GET /pub/scm/git/git.git/info/refs?service=git-upload-pack",
        name,
        "git/2.43.0",
        "Git-Protocol: version=2",
        "application/x-git-upload-pack-advertisement",
        30,
    );
    conn.request("POST /pub/scm/git/git.git/git-upload-pack", name, "git/2.43.0", "Content-Type: application/x-git-upload-pack-request\n\n0014command=ls-refs\n0015agent=git/2.43.0", "application/x-git-upload-pack-result", 500);
    conn.close();
}

pub(crate) fn apt(day: &mut Day) {
    let (client, at, name) = (day.client(), day.start(), "deb.debian.org");
    let address = day.resolve(at, client, name);
    let mut conn = day.open(at + 70_000, client, (address, 80));
    conn.request(
        "GET /debian/dists/bookworm/InRelease",
        name,
        "Debian APT-HTTP/1.3 (2.6.1)",
        "",
        "text/plain",
        40,
    );
    for _ in 0..conn.day.random_of(&[0, 0, 3, 25]) {
        let path = format!(
            "/debian/pool/main/l/lib{0}/lib{0}_1.0-1_amd64.deb",
            conn.day.random.hex(4)
        );
        conn.request(
            &format!("GET {path}"),
            name,
            "Debian APT-HTTP/1.3 (2.6.1)",
            "",
            "application/vnd.debian.binary-package",
            60,
        );
    }
    conn.close();
}

/// Two minutes of a stream, a segment every four seconds, each with a folder of its own.
pub(crate) fn hls(day: &mut Day) {
    let (client, at) = (day.client(), day.start());
    let name = format!("video.{}", site(day));
    let address = day.resolve(at, client, &name);
    let agent = day.random.pick(&BROWSERS);
    let flat = day.random.below(4) == 0;
    let mut conn = day.open(at + 70_000, client, (address, 80));
    conn.request(
        "GET /live/master.m3u8",
        &name,
        agent,
        "",
        "application/vnd.apple.mpegurl",
        1,
    );
    for n in 0..26 {
        let path = if flat {
            format!("/seg-{n}.ts")
        } else {
            format!("/live/720p/seg-{n}.ts")
        };
        conn.request(&format!("GET {path}"), &name, agent, "", "video/mp2t", 120);
        conn.pause(3_900_000);
    }
    conn.close();
}

impl Day {
    /// One of these numbers.
    fn random_of(&mut self, all: &[u64]) -> u64 {
        all[self.random.below(all.len() as u64) as usize]
    }
}

/// A name that a resolver is asked for in vain.
pub(crate) fn vain(day: &mut Day, client: u32, name: &str) {
    let at = day.start();
    day.ask(at, client, name, 1, Answer::NoSuchName);
}
