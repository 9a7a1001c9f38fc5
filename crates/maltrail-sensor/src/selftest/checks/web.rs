//! HTTP.

use super::{Check, EVIL, FOUND, Need, evil, pick};
use crate::selftest::messages::{get, get_with, http2, post, socks4a, socks5};
use crate::selftest::scene::{CLIENT, TLS, WEB};
use crate::selftest::wire::{DATA, v4};

const BAD: &str = "site-a.com/bad.php,listed,reference\n";
const BAD_FOUND: &[&str] = &["URL site-a.com/bad.php | listed"];

/// The listed path, or one that differs in a letter.
const fn bad(hit: bool) -> &'static str {
    pick(hit, "/bad.php", "/bat.php")
}

/// A request whose path shows the family of attacks.
macro_rules! attack {
    ($name:literal, $path:literal, $near:literal, $info:literal) => {
        Check::new(
            $name,
            "suspicious_request",
            &[concat!(
                "URL site-a.com(",
                $path,
                ") | ",
                $info,
                " (suspicious)"
            )],
            |scene, hit| scene.request(get("site-a.com", pick(hit, $path, $near))),
        )
    };
}

pub(super) const CHECKS: &[Check] = &[
    Check::listed("http-url", BAD, BAD_FOUND, |scene, hit| {
        scene.request(get("site-a.com", bad(hit)));
    }),
    Check::listed(
        "http-path",
        "/bad.php,listed,reference\n",
        &["URL (site-a.com)/bad.php | listed"],
        |scene, hit| scene.request(get("site-a.com", bad(hit))),
    ),
    Check::listed(
        "http-host",
        "site-a.com/,listed,reference\n",
        &["URL site-a.com/ | listed"],
        |scene, hit| scene.request(get(pick(hit, "site-a.com", "site-b.com"), "/x")),
    ),
    Check::listed(
        "http-host-port",
        "site-a.com:8080/bad.php,listed,reference\n",
        &["URL site-a.com:8080/bad.php | listed"],
        |scene, hit| {
            let host = pick(hit, "site-a.com:8080", "site-a.com:8081");
            scene.request(get(host, "/bad.php"));
        },
    ),
    Check::listed(
        "http-body",
        "/gate.php?id=1,listed,reference\n",
        &["HTTP site-a.com(/gate.php \\(POST id=1\\)) | listed"],
        |scene, hit| scene.request(post("/gate.php", pick(hit, "id=1", "id=2"))),
    ),
    Check::listed("http-odd-port", BAD, BAD_FOUND, |scene, hit| {
        let server = v4([203, 0, 113, 7], 8081);
        scene.tcp(CLIENT, server, DATA, get("site-a.com", bad(hit)).as_bytes());
    }),
    Check::listed("http-split", BAD, BAD_FOUND, |scene, hit| {
        scene.split(WEB, get("site-a.com", "/bad.php").as_bytes(), hit);
    }),
    Check::listed("http-second-request", BAD, BAD_FOUND, |scene, hit| {
        scene.request(get("site-a.com", "/ok") + &get("site-a.com", bad(hit)));
    }),
    Check::listed("http-absolute", EVIL, FOUND, |scene, hit| {
        let host = evil(hit);
        scene.request(get(host, &format!("http://{host}/x")));
    }),
    Check::listed("http-connect", EVIL, FOUND, |scene, hit| {
        let host = evil(hit);
        scene.request(format!(
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"
        ));
    }),
    Check::listed("http-host-domain", EVIL, FOUND, |scene, hit| {
        scene.request(get(evil(hit), "/x"));
    })
    .needs(&[Need::HostDomains]),
    Check::listed(
        "http-listed-server",
        "203.0.113.7,listed,reference\n",
        &["IP 203.0.113.7 (site-a.com) | listed"],
        |scene, hit| {
            let server = v4([203, 0, 113, pick(hit, 7, 8)], 80);
            scene.tcp(CLIENT, server, DATA, get("site-a.com", "/x").as_bytes());
        },
    ),
    Check::listed("http2", EVIL, FOUND, |scene, hit| {
        scene.request(http2(evil(hit)));
    }),
    Check::listed("socks5", EVIL, FOUND, |scene, hit| {
        scene.tcp(CLIENT, TLS, DATA, &socks5(evil(hit)));
    }),
    Check::listed("socks4a", EVIL, FOUND, |scene, hit| {
        scene.tcp(CLIENT, TLS, DATA, &socks4a(evil(hit)));
    }),
    Check::new(
        "missing-host",
        "missing_host",
        &["HTTP 203.0.113.7/a | missing host header (suspicious)"],
        |scene, hit| {
            let host = pick(hit, "", "Host: site-a.com\r\n");
            scene.request(format!("GET /a HTTP/1.1\r\n{host}\r\n"));
        },
    )
    .needs(&[Need::MissingHost]),
    Check::new(
        "proxy-probe",
        "proxy_probe",
        &["HTTP http://site-a.com/(check) | potential proxy probe (suspicious)"],
        |scene, hit| {
            let path = pick(hit, "http://site-a.com/check", "http://site-a.com/chick");
            scene.request(get("site-a.com", path));
        },
    ),
    Check::new(
        "iot-download",
        "iot_download",
        &["HTTP (203.0.113.7)/arm7 | potential iot-malware download (suspicious)"],
        |scene, hit| scene.request(get("203.0.113.7", pick(hit, "/arm7", "/army"))),
    ),
    Check::new(
        "direct-download",
        "direct_download",
        &["URL site-a.com(/a.exe) | direct .exe download (suspicious)"],
        |scene, hit| {
            scene.request(get(
                "site-a.com",
                pick(hit, "/a.exe", "/installer-of-a.exe"),
            ));
        },
    ),
    Check::new(
        "scanner-page",
        "suspicious_name",
        &["URL site-a.com(/defaultwebpage.cgi) | non-existent page (suspicious)"],
        |scene, hit| {
            let path = pick(hit, "/defaultwebpage.cgi", "/defaultwebpages.cgi");
            scene.request(get("site-a.com", path));
        },
    ),
    Check::new(
        "user-agent",
        "user_agent",
        &["UA sqlmap(/1.0) | user agent (suspicious)"],
        |scene, hit| {
            let agent = pick(hit, "User-Agent: sqlmap/1.0", "User-Agent: sqlmat/1.0");
            scene.request(get_with(agent));
        },
    ),
    Check::new(
        "content-type",
        "content_type",
        &["HTTP text/x-sh | content type (suspicious)"],
        |scene, hit| {
            let kind = pick(hit, "text/x-sh; charset=utf-8", "text/x-sass");
            scene.response(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n"));
        },
    ),
    Check::new(
        "sinkhole-response",
        "sinkhole_response",
        &["HTTP X-Sinkhole: | sinkhole response (malware)"],
        |scene, hit| {
            let field = pick(hit, "X-Sinkhole", "X-Sinkhold");
            scene.response(format!("HTTP/1.1 200 OK\r\n{field}: 1\r\n\r\n"));
        },
    ),
    Check::new(
        "seized-domain",
        "seized_domain",
        &["HTTP Domain Seized | seized domain (suspicious)"],
        |scene, hit| {
            let title = pick(hit, "Domain Seized", "Domain Seiced");
            scene.response(format!("HTTP/1.1 200 OK\r\n\r\n<title>{title}</title>"));
        },
    ),
    attack!(
        "attack-sql",
        "/a?q=1'%20union%20select%201",
        "/a?q=1'%20unite%20select%201",
        "potential sql injection"
    ),
    attack!(
        "attack-php",
        "/a?q=<?php%20echo",
        "/a?q=<?phq%20echo",
        "potential php injection"
    ),
    attack!(
        "attack-xss",
        "/a?q=<script>",
        "/a?q=<scribe>",
        "potential xss injection"
    ),
    attack!(
        "attack-xxe",
        "/a?q=[<!entity",
        "/a?q=[<!entita",
        "potential xxe injection"
    ),
    attack!(
        "attack-template",
        "/a?q=${7*7}",
        "/a?q=${7*7",
        "potential ssti injection"
    ),
    attack!(
        "data-leakage",
        "/a?imei=123456789012345",
        "/a?imei=12345678901234",
        "potential data leakage"
    ),
    attack!(
        "config-file",
        "/private/.htaccess",
        "/private/.htindex",
        "config file access"
    ),
    attack!(
        "attack-code",
        "/a?c=cat%20/etc/x",
        "/a?c=cut%20/etc/x",
        "potential remote code execution"
    ),
    attack!(
        "attack-traversal",
        "/a?f=../../../x",
        "/a?f=../../x",
        "potential directory traversal"
    ),
    attack!(
        "attack-scanner",
        "/a?x=acunetix_wvs_",
        "/a?x=acunetix_wv_",
        "potential web scan"
    ),
    attack!(
        "attack-dns-changer",
        "/f?dns1=1",
        "/f?dns5=1",
        "potential dns changer"
    ),
    attack!(
        "attack-plus-for-space",
        "/a?q=1+union+select+2",
        "/a?q=1+unite+select+2",
        "potential sql injection"
    ),
    // Parentheses of a path are written as %28 and %29.
    Check::new(
        "attack-xml",
        "suspicious_request",
        &["URL site-a.com(/a?q=/text%28%29='x) | potential xml injection (suspicious)"],
        |scene, hit| {
            let path = pick(hit, "/a?q=/text()='x", "/a?q=/tex()='x");
            scene.request(get("site-a.com", path));
        },
    ),
    Check::new(
        "attack-ldap",
        "suspicious_request",
        &["URL site-a.com(/a?q=%28|%28uid=*) | potential ldap injection (suspicious)"],
        |scene, hit| {
            let path = pick(hit, "/a?q=(|(uid=*", "/a?q=(|(uid=x");
            scene.request(get("site-a.com", path));
        },
    ),
    Check::new(
        "attack-body",
        "suspicious_request",
        &["HTTP site-a.com(/p.php \\(POST q=<script>\\)) | potential xss injection (suspicious)"],
        |scene, hit| scene.request(post("/p.php", pick(hit, "q=<script>", "q=<scribe>"))),
    ),
    Check::listed("whitelist-host", BAD, BAD_FOUND, |scene, hit| {
        scene.whitelist(pick(hit, "", "site-a.com\n"));
        scene.request(get("site-a.com", "/bad.php"));
    }),
];
