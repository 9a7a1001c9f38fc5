//! A mail server: connections from outside, and what it asks about each sender.

use crate::day::Day;
use crate::web::site;
use crate::wire::{Answer, ip};

const MAIL: u32 = ip(192, 168, 2, 25);

/// Block lists, the sender's records, and in one of fifty cases a domain that does not exist.
fn looked_up(day: &mut Day, at: u64, sender: u32, domain: &str) {
    let [a, b, c, d] = sender.to_be_bytes();
    for list in [
        "zen.spamhaus.org",
        "bl.spamcop.net",
        "b.barracudacentral.org",
    ] {
        let answer = if day.random.below(5) == 0 {
            Answer::Address(ip(127, 0, 0, 2))
        } else {
            Answer::NoSuchName
        };
        day.ask(at, MAIL, &format!("{d}.{c}.{b}.{a}.{list}"), 1, answer);
    }
    for list in ["dbl.spamhaus.org", "multi.uribl.com", "multi.surbl.org"] {
        day.ask(
            at + 5_000,
            MAIL,
            &format!("{domain}.{list}"),
            1,
            Answer::NoSuchName,
        );
    }
    let gone = day.random.below(50) == 0;
    let answer = if gone {
        Answer::NoSuchName
    } else {
        Answer::Nothing
    };
    day.ask(at + 9_000, MAIL, domain, 15, answer);
    day.ask(at + 12_000, MAIL, domain, 16, answer);
    let dmarc = if day.random.below(2) == 0 {
        Answer::NoSuchName
    } else {
        Answer::Nothing
    };
    day.ask(at + 15_000, MAIL, &format!("_dmarc.{domain}"), 16, dmarc);
    day.ask(
        at + 18_000,
        MAIL,
        &format!("selector1._domainkey.{domain}"),
        16,
        answer,
    );
    day.ask(
        at + 21_000,
        MAIL,
        &format!("{d}.{c}.{b}.{a}.in-addr.arpa"),
        12,
        Answer::Nothing,
    );
}

fn talk(day: &mut Day, at: u64, src: u32, dst: u32, domain: &str) {
    let mut conn = day.open(at, src, (dst, 25));
    conn.hears(b"220 mail ESMTP\r\n");
    conn.says(format!("EHLO mx.{domain}\r\n").as_bytes());
    conn.hears(b"250-mail\r\n250-STARTTLS\r\n250 8BITMIME\r\n");
    conn.says(
        format!("MAIL FROM:<news@{domain}>\r\nRCPT TO:<anna@acme-works.com>\r\nDATA\r\n")
            .as_bytes(),
    );
    conn.hears(b"354 go on\r\n");
    conn.says(&[b'x'; 6_000]);
    conn.hears(b"250 ok\r\n");
    conn.close();
}

pub(crate) fn inbound(day: &mut Day) {
    let (at, sender, domain) = (day.start(), day.outside(), site(day));
    looked_up(day, at + 100_000, sender, &domain);
    talk(day, at, sender, MAIL, &domain);
}

pub(crate) fn outbound(day: &mut Day) {
    let (at, domain) = (day.start(), site(day));
    day.ask(at, MAIL, &domain, 15, Answer::Nothing);
    let address = day.resolve(at + 20_000, MAIL, &format!("mx1.{domain}"));
    talk(day, at + 120_000, MAIL, address, &domain);
}
