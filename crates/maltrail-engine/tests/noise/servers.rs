//! Our servers and those who ask them, and the monitoring.

use crate::day::{Day, RESOLVER};
use crate::web::{BROWSERS, site};
use crate::wire::{Answer, dns, ip, ping, udp};

const AUTHORITATIVE: u32 = ip(192, 168, 2, 54);
const NTP: u32 = ip(192, 168, 2, 123);
const WEB: u32 = ip(192, 168, 2, 80);
const MONITOR: u32 = ip(192, 168, 2, 99);
const HOST: &str = "www.acme-works.com";

/// The resolver asks its way down; one name in eight does not exist.
pub(crate) fn recursion(day: &mut Day) {
    let at = day.start();
    let name = format!("www.{}", site(day));
    for step in 0..2 {
        let server = day.outside();
        let last = step == 1;
        let answer = if last && day.random.below(8) == 0 {
            Answer::NoSuchName
        } else {
            Answer::Address(Day::address(&name))
        };
        day.ask_at(
            at + step * 70_000,
            RESOLVER,
            server,
            &name,
            1,
            if last { answer } else { Answer::Nothing },
        );
    }
}

/// Resolvers from outside ask for names of our zone, some of which never existed.
pub(crate) fn authoritative(day: &mut Day) {
    let (at, asker) = (day.start(), day.outside());
    let label = day.random.pick(&[
        "www",
        "mail",
        "autodiscover",
        "ns1",
        "vpn",
        "shop",
        "api",
        "_dmarc",
        "old-intranet",
        "ftp",
        "dev",
        "selector1._domainkey",
    ]);
    let exists = matches!(label, "www" | "mail" | "ns1" | "vpn" | "shop" | "api");
    let answer = if exists {
        Answer::Address(WEB)
    } else {
        Answer::NoSuchName
    };
    let qtype = [1, 28, 15, 16][day.random.below(4) as usize];
    day.ask_at(
        at,
        asker,
        AUTHORITATIVE,
        &format!("{label}.acme-works.com"),
        qtype,
        answer,
    );
}

pub(crate) fn ntp(day: &mut Day) {
    let (at, asker) = (day.start(), day.outside());
    // Half of them sit behind a router that changes the port.
    let port = if day.random.below(2) == 0 {
        123
    } else {
        day.random.port()
    };
    day.exchange(at, (asker, port), (NTP, 123), &[0x23; 48], &[0x24; 48]);
}

pub(crate) fn sweep(day: &mut Day) {
    for net in 1..=3 {
        for host in 1..=50 {
            let (host, at) = (ip(192, 168, net, host), u64::from(host) * 20_000);
            day.send(at, ping(MONITOR, host, false));
            day.send(at + 700, ping(host, MONITOR, true));
        }
    }
}

/// Ten devices, two questions each from one socket, once a minute.
pub(crate) fn snmp(day: &mut Day) {
    for device in 200..210 {
        let src = (MONITOR, day.random.port());
        for n in 0..2 {
            let at = day.random.within(0, 900_000);
            day.exchange(
                at + n,
                src,
                (ip(192, 168, 2, device), 161),
                &[0x30; 70],
                &[0x30; 400],
            );
        }
    }
}

pub(crate) fn http_checks(day: &mut Day) {
    let at = day.start();
    for path in ["/", "/health", "/login", "/api/status"] {
        let mut conn = day.open(at, MONITOR, (WEB, 80));
        conn.request(
            &format!("GET {path}"),
            HOST,
            "check_http/v2.3.5 (monitoring-plugins 2.3.5)",
            "",
            "text/html",
            1,
        );
        conn.close();
    }
}

/// Eight services of one server in a row.
pub(crate) fn tcp_checks(day: &mut Day) {
    let (mut at, server) = (
        day.start(),
        ip(
            192,
            168,
            2,
            [10, 25, 45, 53, 70, 80][day.random.below(6) as usize],
        ),
    );
    for port in [22, 25, 53, 80, 143, 443, 445, 5666] {
        day.open(at, MONITOR, (server, port)).close();
        at += 300_000;
    }
}

pub(crate) fn syslog(day: &mut Day) {
    let (at, host) = (day.start(), ip(192, 168, 2, day.random.byte(200, 209)));
    day.send(
        at,
        udp(
            (host, 514),
            (MONITOR, 514),
            b"<134>Nov 24 12:00:00 sw1 link: port 7 up",
        ),
    );
}

fn visit(day: &mut Day, at: u64, pages: u64) {
    let (visitor, agent) = (day.outside(), day.random.pick(&BROWSERS));
    let mut conn = day.open(at, visitor, (WEB, 80));
    conn.request("GET /", HOST, agent, "", "text/html; charset=utf-8", 6);
    for _ in 0..pages {
        let path = conn.day.random.pick(&[
            "/assets/main.css",
            "/assets/app.js",
            "/assets/logo.svg",
            "/news/latest.html",
            "/img/hero.jpg",
            "/shop/list?page=2",
        ]);
        conn.request(
            &format!("GET {path}"),
            HOST,
            agent,
            "Referer: http://www.acme-works.com/",
            "text/css",
            4,
        );
    }
    conn.close();
}

pub(crate) fn visitor(day: &mut Day) {
    let (at, pages) = (day.start(), day.random.within(3, 12));
    visit(day, at, pages);
}

/// A crawler reads a page a second for two minutes, each under a name of its own.
pub(crate) fn crawler(day: &mut Day) {
    let crawler = ip(66, 249, 66, day.random.byte(1, 60));
    let agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let mut conn = day.open(10, crawler, (WEB, 80));
    conn.request("GET /robots.txt", HOST, agent, "", "text/plain", 1);
    for _ in 0..100 {
        let number = conn.day.random.below(9_000);
        let path = if number.is_multiple_of(3) {
            format!("/product-{number}.html")
        } else {
            format!("/shop/item/{number}")
        };
        conn.request(
            &format!("GET {path}"),
            HOST,
            agent,
            "From: googlebot(at)googlebot.com",
            "text/html",
            8,
        );
        conn.pause(1_000_000);
    }
    conn.close();
}

/// Somebody famous links to us: 60 visitors a second at the peak, ten minutes in all.
pub(crate) fn flash_crowd(day: &mut Day) {
    day.crowd = Some(day.second);
}

/// The crowd of this second, if there is one.
pub(crate) fn crowd(day: &mut Day, began: i64) {
    let passed = (day.second - began) as f64;
    let visitors = if passed < 30.0 {
        2.0 * passed
    } else {
        60.0 * (-(passed - 30.0) / 180.0).exp()
    };
    for _ in 0..visitors as u64 {
        let at = day.start();
        visit(day, at, 6);
        let asker = day.outside();
        let (ask, reply) = dns(7, HOST, 1, Answer::Address(WEB));
        let src = (asker, day.random.port());
        day.send(at, udp(src, (AUTHORITATIVE, 53), &ask));
        day.send(at + 900, udp((AUTHORITATIVE, 53), src, &reply));
    }
}
