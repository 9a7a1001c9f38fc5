//! Names in DNS.

use super::{Check, EVIL, FOUND, evil, pick};
use crate::selftest::messages::{
    A, AAAA, ANSWER, Data, NO_SUCH_NAME, QUESTION, answer, question, two_questions,
};
use crate::selftest::scene::{CLIENT, RESOLVER, Scene};
use crate::selftest::wire::{DATA, counted, v4};

/// The client's questions where few look.
const ELSEWHERE: std::net::SocketAddr = v4([203, 0, 113, 9], 5353);

const SINKHOLES: &str = "203.0.113.99,sinkhole abuse.ch (malware),reference\n\
    2001:db8::99,sinkhole abuse.ch (malware),reference\n\
    203.0.113.98,parking site,reference\n";

pub(super) const CHECKS: &[Check] = &[
    Check::listed(
        "dns-question-a",
        EVIL,
        &["DNS evil.com | listed"],
        |scene, hit| {
            scene.ask(pick(hit, "evil.com", "evim.com"), A);
        },
    ),
    Check::listed(
        "dns-question-aaaa",
        EVIL,
        &["DNS evil.com | listed"],
        |scene, hit| {
            scene.ask(pick(hit, "evil.com", "evim.com"), AAAA);
        },
    ),
    Check::listed("dns-parent-domain", EVIL, FOUND, |scene, hit| {
        scene.ask(pick(hit, "www.evil.com", "wwwevil.com"), A);
    }),
    Check::listed(
        "dns-wildcard",
        "evil[0-9]+\\.net,listed,(static)\n",
        &["DNS (www).evil77.net | listed"],
        |scene, hit| scene.ask(pick(hit, "www.evil77.net", "www.evilxx.net"), A),
    ),
    Check::listed("dns-second-question", EVIL, FOUND, |scene, hit| {
        scene.udp(CLIENT, RESOLVER, &two_questions("clean.org", evil(hit)));
    }),
    Check::listed("dns-other-port", EVIL, FOUND, |scene, hit| {
        let mut message = question("www.evil.com", A, QUESTION);
        if !hit {
            message.push(0);
        }
        scene.udp(CLIENT, ELSEWHERE, &message);
    }),
    Check::listed("dns-over-tcp", EVIL, FOUND, |scene, hit| {
        let message = counted(&question(evil(hit), A, QUESTION));
        scene.tcp(CLIENT, RESOLVER, DATA, &message);
    }),
    Check::listed("dns-over-tcp-split", EVIL, FOUND, |scene, hit| {
        let message = counted(&question("www.evil.com", A, QUESTION));
        scene.split(RESOLVER, &message, hit);
    }),
    Check::listed(
        "dns-resolver",
        "198.51.100.53,listed,reference\n",
        &["IP 198.51.100.53 (clean.org) | listed"],
        |scene, hit| {
            let resolver = pick(hit, RESOLVER, v4([198, 51, 100, 54], 53));
            scene.udp(CLIENT, resolver, &question("clean.org", A, QUESTION));
        },
    ),
    Check::listed("dns-answer", EVIL, FOUND, |scene, hit| {
        let flags = pick(hit, ANSWER, NO_SUCH_NAME);
        scene.resolved(&question("www.evil.com", A, flags));
    }),
    Check::listed("dns-answer-alias", EVIL, FOUND, |scene, hit| {
        scene.resolved(&answer("clean.org", &Data::Cname(evil(hit))));
    }),
    Check::new(
        "sinkhole-a",
        "sinkhole",
        &["DNS (www.clean).org | sinkholed by abuse.ch (malware)"],
        |scene, hit| {
            let address = [203, 0, 113, pick(hit, 99, 97)];
            scene.resolved(&answer("www.clean.org", &Data::A(address)));
        },
    )
    .trails(SINKHOLES),
    Check::new(
        "sinkhole-aaaa",
        "sinkhole",
        &["DNS (www.clean).org | sinkholed by abuse.ch (malware)"],
        |scene, hit| {
            let last = pick(hit, 0x99, 0x97);
            let address = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
            scene.resolved(&answer("www.clean.org", &Data::Aaaa(address)));
        },
    )
    .trails(SINKHOLES),
    Check::new(
        "parked",
        "parked",
        &["DNS (www.clean).org | parked site (suspicious)"],
        |scene, hit| {
            let address = [203, 0, 113, pick(hit, 98, 97)];
            scene.resolved(&answer("www.clean.org", &Data::A(address)));
        },
    )
    .trails(SINKHOLES),
    Check::new(
        "no-such-name",
        "no_such_domain",
        &["DNS gone.org | excessive no such domain (suspicious)"],
        |scene, hit| no_such(scene, pick(hit, 21, 20), |_| "gone.org".to_owned()),
    ),
    Check::new(
        "no-such-names-below",
        "no_such_domain",
        &[
            "DNS (b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u).gone.org | excessive no such domain (suspicious)",
        ],
        |scene, hit| {
            no_such(scene, pick(hit, 21, 20), |n| {
                format!("{}.gone.org", char::from(b'a' + n))
            });
        },
    ),
    // Twelve letters, all different: log2(12) = 3.58 bits; with three twice it is 3.08.
    Check::new(
        "random-name",
        "entropy",
        &["DNS (qxz7k2vw9p4m).com | entropy threshold no such domain (suspicious)"],
        |scene, hit| {
            let name = pick(hit, "qxz7k2vw9p4m.com", "qxz7k2vw9qx7.com");
            scene.resolved(&question(name, A, NO_SUCH_NAME));
        },
    ),
    Check::new(
        "consonants",
        "entropy",
        &["DNS (bcbcbcbcbc).com | consonant threshold no such domain (suspicious)"],
        |scene, hit| {
            let name = pick(hit, "bcbcbcbcbc.com", "bcbcbcbcba.com");
            scene.resolved(&question(name, A, NO_SUCH_NAME));
        },
    ),
    Check::new(
        "long-domain",
        "long_domain",
        &["DNS (abcdefghijklmnopqrstuvwxy).org | long domain (suspicious)"],
        |scene, hit| {
            let name = pick(
                hit,
                "abcdefghijklmnopqrstuvwxy.org",
                "abcdefghijklmnopqrstuvwx.org",
            );
            scene.ask(name, A);
        },
    ),
    Check::new(
        "dns-exhaustion",
        "dns_exhaustion",
        &["DNS (n1000).zone.org | potential dns exhaustion (suspicious)"],
        |scene, hit| {
            for n in 0..pick(hit, 1001, 1000) {
                scene.ask(&format!("n{n}.zone.org"), A);
            }
        },
    ),
    // What no engine sees enough of.
    Check::new(
        "dns-exhaustion-several-engines",
        "dns_exhaustion",
        &["DNS (n1000).zone.org | potential dns exhaustion (suspicious)"],
        |scene, hit| {
            for n in 0..pick(hit, 1001_u16, 1000) {
                let client = v4([10, 0, 0, (n % 9) as u8], 5000 + n);
                let message = question(&format!("n{n}.zone.org"), A, QUESTION);
                scene.udp(client, RESOLVER, &message);
            }
        },
    )
    .workers(3),
];

/// So many answers, one a second, that a name does not exist.
fn no_such(scene: &mut Scene<'_>, count: u8, name: impl Fn(u8) -> String) {
    for n in 0..count {
        scene.resolved(&question(&name(n), A, NO_SUCH_NAME));
        scene.wait(1);
    }
}
