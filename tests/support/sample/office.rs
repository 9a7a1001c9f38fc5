//! The office at work: nothing in here is listed anywhere.

use std::net::IpAddr;

use super::SECONDS;
use super::story::{RESOLVER, Story, Turn};
use crate::packet::{self, Host, Qtype, Tags};
use crate::payload;

/// VLAN of the cameras.
pub(super) const CAMERA_VLAN: u16 = 40;
/// Workstations.
pub(super) const WORKSTATIONS: u64 = 14;

/// Sites that are visited, with an address each.
const SITES: &[(&str, &str)] = &[
    ("www.pinewood-news.example.net", "203.0.113.10"),
    ("static.pinewood-news.example.net", "203.0.113.11"),
    ("mail.office-suite.example.net", "203.0.113.20"),
    ("calendar.office-suite.example.net", "203.0.113.21"),
    ("files.office-suite.example.net", "203.0.113.22"),
    ("meet.video-call.example.net", "203.0.113.31"),
    ("crm.harbour-trade.example.net", "203.0.113.44"),
    ("www.example.com", "203.0.113.50"),
    ("img.example.net", "203.0.113.51"),
    ("www.rail-timetable.example.net", "192.0.2.61"),
    ("weather.city-portal.example.net", "192.0.2.62"),
    ("bank.savings-house.example.net", "192.0.2.70"),
    ("wiki.parts-catalogue.example.net", "198.51.100.110"),
    ("shop.parts-catalogue.example.net", "198.51.100.111"),
    ("www.wikipedia.org", "198.51.100.120"),
    ("fonts.gstatic.com", "198.51.100.121"),
    ("update.microsoft.com", "198.51.100.122"),
    ("deb.debian.org", "198.51.100.123"),
    ("www.lunch-menu.example.net", "2001:db8:40::80"),
    ("docs.example.org", "2001:db8:40::90"),
];

pub(super) fn workstation(number: u64) -> Host {
    Host::local(&format!("10.20.10.{}", 11 + number))
}

pub(super) fn workstation_v6(number: u64) -> Host {
    Host::local(&format!("fd00:20:10::{:x}", 0x11 + number))
}

pub(super) fn camera(number: u64) -> Host {
    Host::local(&format!("10.20.40.{}", 11 + number)).tagged(Tags::One(CAMERA_VLAN))
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// All of it.
pub(super) fn working_day(story: &mut Story) {
    browsing(story);
    plain_web(story);
    file_server(story);
    printing(story);
    cameras(story);
    small_services(story);
}

fn browsing(story: &mut Story) {
    for visit in 0..150 {
        let at = visit as f64 * 0.57 + story.below(400_000) as f64 / 1e6;
        let number = story.below(WORKSTATIONS);
        let (name, place) = *story.one_of(SITES);
        let place = address(place);
        let client = match place {
            IpAddr::V4(_) => workstation(number),
            IpAddr::V6(_) => workstation_v6(number),
        };
        let answered = story.looks_up(at, workstation(number), name, place);
        let server = Host::remote(&place.to_string());
        let exchanges = 1 + story.below(7);
        story.visits(answered + 0.0005, client, server, name, exchanges);
    }
}

/// Pages over plain HTTP: a machine status page and a package mirror.
fn plain_web(story: &mut Story) {
    for visit in 0..14u64 {
        let at = 2.3 + visit as f64 * 6.1;
        let client = workstation(visit * 5 % WORKSTATIONS);
        let (host, server, path) = if visit % 2 == 0 {
            (
                "intranet.office.example.net",
                Host::local("10.20.0.80"),
                "/news/today",
            )
        } else {
            (
                "mirror.example.net",
                Host::remote("203.0.113.52"),
                "/pool/index.txt",
            )
        };
        let answered = story.asks(at, client, host, Qtype::A, &[server.ip()]);
        let length = 200 + story.below(900) as usize;
        let turns = vec![
            Turn::Up(payload::http_get(host, path)),
            Turn::Down(payload::http_ok(length)),
        ];
        let port = story.port();
        story.talks(answered + 0.0004, client.port(port), server.port(80), turns);
    }
}

fn file_server(story: &mut Story) {
    let server = Host::local("10.20.0.10");
    for number in 0..WORKSTATIONS {
        let at = 1.0 + number as f64 * 6.2;
        let turns = (0..6)
            .flat_map(|_| {
                let (ask, give) = (90 + story.below(60), 200 + story.below(700));
                [
                    Turn::Up(story.noise(ask as usize)),
                    Turn::Down(story.noise(give as usize)),
                ]
            })
            .collect();
        let port = story.port();
        story.talks(at, workstation(number).port(port), server.port(445), turns);
    }
}

fn printing(story: &mut Story) {
    let printer = Host::local("10.20.30.5");
    for job in 0..4u64 {
        let mut turns = vec![Turn::Up(
            b"\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE=PCL\r\n".to_vec(),
        )];
        turns.extend((0..12).map(|_| Turn::Up(story.noise(700))));
        let client = workstation(job * 3).port(story.port());
        story.talks(9.0 + job as f64 * 19.0, client, printer.port(9100), turns);
    }
}

/// Four cameras send video to the recorder.
fn cameras(story: &mut Story) {
    let recorder = Host::local("10.20.40.60").tagged(Tags::One(CAMERA_VLAN));
    for number in 0..4u64 {
        let source = camera(number).port(6970);
        for tick in 0..SECONDS * 2 {
            let at = tick as f64 * 0.5 + number as f64 * 0.06;
            let mut rtp = vec![0x80, 96];
            rtp.extend(story.noise(170));
            story.frame(
                at,
                packet::udp(source, recorder.port(20_000 + number as u16), &rtp),
            );
        }
    }
}

/// Time, pings, names of addresses, announcements.
fn small_services(story: &mut Story) {
    let time = Host::local("10.20.0.3");
    for number in 0..WORKSTATIONS {
        let at = 3.0 + number as f64 * 5.7;
        let client = workstation(number);
        story.frame(
            at,
            packet::udp(client.port(123), time.port(123), &payload::ntp_request()),
        );
        let reply = story.noise(48);
        story.frame(
            at + 0.002,
            packet::udp(time.port(123), client.port(123), &reply),
        );
        let speaker = Host::local(&format!("10.20.10.{}", 11 + number));
        let announcement = payload::dns_question(5353, "_ipp._tcp.local", Qtype::Ptr);
        let group = Host::remote("224.0.0.251");
        story.frame(
            at + 1.1,
            packet::udp(speaker.port(5353), group.port(5353), &announcement),
        );
        let reverse = format!("{}.10.20.10.in-addr.arpa", 11 + number);
        story.asks(
            at + 2.2,
            Host::local("10.20.0.10"),
            &reverse,
            Qtype::Ptr,
            &[],
        );
    }
    let (monitor, gateway) = (Host::local("10.20.0.9"), Host::local("10.20.0.1"));
    for seq in 0..SECONDS / 5 {
        let at = seq as f64 * 5.0 + 0.7;
        for target in [gateway, Host::local(RESOLVER)] {
            story.frame(at, packet::echo(monitor, target, seq as u16));
            story.frame(at + 0.0006, packet::echo_reply(target, monitor, seq as u16));
        }
    }
}
