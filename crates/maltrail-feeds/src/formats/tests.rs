//! One table of bodies and entries for the formats that the reference does not have (those of its feeds are
//! the F rows of the vectors), and damage done to every body.

use std::path::Path;

use maltrail_core::addr::NetworkSet;

use super::*;
use crate::registry::read;

/// A feed of these fields.
fn feed(fields: &str) -> Feed {
    let text = format!(
        "[[feed]]\nname = \"t\"\nurls = [\"https://lists.example.com/x\"]\ninfo = \"label\"\nreference = \"ref\"\n{fields}\n"
    );
    read(&text, Path::new("t.toml")).expect(fields).remove(0)
}

/// 2026-11-24T17:57:42 UTC.
const NOW: u64 = 1_795_543_062;

fn parsed(feed: &Feed, body: &[u8]) -> Result<(Vec<[String; 2]>, Counts), FormatError> {
    let canaries = Canaries::new(&NetworkSet::default());
    let context = Context {
        feed,
        canaries: &canaries,
        now: NOW,
    };
    let mut rows = Vec::new();
    let counts = parse(&context, &mut &*body, &mut |text, info, _| {
        rows.push([text.to_owned(), info.to_owned()]);
        Ok(())
    })?;
    assert_eq!(counts.entries, rows.len());
    Ok((rows, counts))
}

/// Fields of the feed, body, entries with their labels, refused entries.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    usize,
);

const CASES: &[Case] = &[
    (
        "format = \"hosts\"\nkeeps = \"name\"",
        "127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 a.biz b.biz # note\r\n# c.biz\nnot a line\n0.0.0.0 d.biz",
        &[("a.biz", "label"), ("b.biz", "label"), ("d.biz", "label")],
        0,
    ),
    (
        "format = \"lines\"\nkeeps = \"address\"\nipv6 = true",
        "; Spamhaus\n5.9.0.0/16 ; SBL1\n2a00:1450::/32 ; SBL2\n# x\n2a00:1450::9\n",
        &[
            ("5.9.0.0/16", "label"),
            ("2a00:1450::/32", "label"),
            ("2a00:1450::9", "label"),
        ],
        0,
    ),
    (
        "format = \"csv\"\nseparator = \",\"\ncolumn = 2\ninfo_column = 1\ninfo_suffix = \" (malware)\"\nkeeps = \"url\"",
        "# c\nname,url\n\"Evil, Inc\",\"http://a.biz/x?a=\"\"1\"\"\"\n\"two\nlines\",b.biz/y\nopen,\"c.biz\n",
        &[
            ("a.biz/x?a=\"1\"", "Evil, Inc (malware)"),
            ("b.biz/y", "twolines (malware)"),
        ],
        2,
    ),
    (
        "format = \"csv\"\nseparator = \"\\t\"\ncolumn = 1\nonly_column = 2\nonly = \"up|new\"\nkeeps = \"name\"",
        "a.biz\tup\nb.biz\tdown\nc.biz\tnew\n",
        &[("a.biz", "label"), ("c.biz", "label")],
        0,
    ),
    (
        "format = \"json\"\nrecords = \"data[]\"\nfield = \"ioc.values[]\"\ninfo_field = \"family\"\ninfo_empty = \"unknown\"\nonly_field = \"live\"\nonly = \"true\"",
        r#"{"meta":{"data":[1]},"data":[{"family":"ZEUS","live":true,"ioc":{"values":["a.biz","5.9.9.9"],"x":[[]]}},
           {"family":"","live":true,"ioc":{"values":["b.biz"]}},{"live":false,"ioc":{"values":["c.biz"]}},7,null]}"#,
        &[("a.biz", "zeus"), ("5.9.9.9", "zeus"), ("b.biz", "unknown")],
        0,
    ),
    (
        "format = \"json\"\nrecords = \"*[]\"\nfield = \"ioc\"\nkeeps = \"url\"",
        r#"{"17":[{"ioc":"http://a.biz/x"}],"18":[{"ioc":"5.9.9.9:443"},{"ioc":8}]}"#,
        &[
            ("a.biz/x", "label"),
            ("5.9.9.9:443", "label"),
            ("8", "label"),
        ],
        0,
    ),
    (
        "format = \"json\"\nrecords = \"[]\"\nfield = \"\"\nkeeps = \"name\"",
        r#"["a.biz", "not a name"]"#,
        &[("a.biz", "label")],
        1,
    ),
    (
        "format = \"ndjson\"\nfield = \"cidr\"\nkeeps = \"address\"",
        "{\"cidr\":\"5.9.0.0/16\",\"rir\":\"ripe\"}\n{broken\n\n{\"cidr\":\"2a00:1450::/32\"}\n{\"type\":\"metadata\"}\n",
        &[("5.9.0.0/16", "label"), ("2a00:1450::/32", "label")],
        1,
    ),
    (
        "format = \"regex\"\npattern = 'host=(?P<trail>\\S+) fam=(?P<info>\\w+)'",
        "x host=a.biz fam=Zeus y host=b.biz fam=Spy\nnone\n",
        &[("a.biz", "Zeus"), ("b.biz", "Spy")],
        0,
    ),
    (
        "format = \"misp\"\nkeeps = \"url\"",
        r#"{"Event":{"info":"x","Attribute":[
            {"type":"domain","value":"a.biz","to_ids":true},{"type":"domain","value":"quiet.biz","to_ids":false},
            {"type":"ip-dst|port","value":"5.9.9.9|8080","to_ids":true},{"type":"url","value":"http://b.biz/x","to_ids":true},
            {"type":"md5","value":"00","to_ids":true}],
            "Object":[{"Attribute":[{"type":"domain|ip","value":"c.biz|5.9.9.8","to_ids":true}]}]}}"#,
        &[
            ("a.biz", "label"),
            ("5.9.9.9:8080", "label"),
            ("b.biz/x", "label"),
            ("c.biz", "label"),
            ("5.9.9.8", "label"),
        ],
        0,
    ),
    (
        "format = \"stix\"",
        r#"{"type":"bundle","objects":[
            {"type":"indicator","pattern":"[domain-name:value='a.biz']","valid_until":"2027-01-01T00:00:00Z"},
            {"type":"indicator","pattern":"[domain-name:value='old.biz']","valid_until":"2026-11-24T17:57:41.5Z"},
            {"type":"indicator","pattern":"[domain-name:value='gone.biz']","revoked":true},
            {"type":"indicator","pattern_type":"yara","pattern":"[domain-name:value='yara.biz']"},
            {"type":"malware","pattern":"[domain-name:value='no.biz']"},
            {"type":"indicator","pattern":"[ipv4-addr:value = '5.9.9.9' OR ipv4-addr:value = '5.9.8.0/24']"}]}"#,
        &[
            ("a.biz", "label"),
            ("5.9.9.9", "label"),
            ("5.9.8.0/24", "label"),
        ],
        0,
    ),
    (
        // `printf a.biz | base64`, `printf 'b.biz' | base64`.
        "format = \"suricata-dataset\"",
        "YS5iaXo=\nYi5iaXo=,10\n5.9.9.9\n# c\nplain.biz\n",
        &[
            ("a.biz", "label"),
            ("b.biz", "label"),
            ("5.9.9.9", "label"),
            ("plain.biz", "label"),
        ],
        0,
    ),
    (
        "format = \"rpz\"",
        "$TTL 30\n@ IN SOA rpz.example. host.example. (\n  1 2 3\n  4 5 )\n  NS localhost.\n$ORIGIN rpz.example.\na.biz CNAME .\n*.a.biz CNAME .\nb.biz 300 IN CNAME *.\nfine.biz CNAME rpz-passthru.\nc.biz.rpz.example. IN A 192.0.2.1\n24.0.9.9.5.rpz-ip CNAME .\nns.evil.rpz-nsdname CNAME . ; x\n33.1.1.1.1.rpz-ip CNAME .\n",
        &[
            ("a.biz", "label"),
            ("a.biz", "label"),
            ("b.biz", "label"),
            ("c.biz", "label"),
            ("5.9.9.0/24", "label"),
        ],
        1,
    ),
];

#[test]
fn each_format_gives_its_entries() {
    for (fields, body, wanted, refused) in CASES {
        let (rows, counts) = parsed(&feed(fields), body.as_bytes()).expect(fields);
        let wanted: Vec<[String; 2]> = wanted
            .iter()
            .map(|(text, info)| [(*text).to_owned(), (*info).to_owned()])
            .collect();
        assert_eq!(rows, wanted, "{fields}");
        assert_eq!(counts.refused, *refused, "{fields}: {:?}", counts.samples);
    }
}

#[test]
fn damage_gives_less_or_an_error_and_never_more_than_the_body_holds() {
    for (fields, body, _, _) in CASES {
        let (feed, body) = (feed(fields), body.as_bytes());
        let check = |bytes: &[u8]| {
            if let Ok((rows, _)) = parsed(&feed, bytes) {
                let most: usize = rows.iter().map(|[text, _]| text.len()).sum();
                assert!(most <= 4 * bytes.len(), "{fields}");
            }
        };
        for len in 0..body.len() {
            check(&body[..len]);
        }
        for at in 0..body.len() {
            for flip in [0x20, 0x83] {
                let mut bytes = body.to_vec();
                bytes[at] ^= flip;
                check(&bytes);
            }
        }
    }
}

#[test]
fn a_json_body_that_is_cut_is_no_answer() {
    let feed = feed("format = \"json\"\nrecords = \"[]\"\nfield = \"x\"");
    let error = parsed(&feed, br#"[{"x":"a.biz"},{"x""#).expect_err("cut");
    assert!(
        error.to_string().starts_with("no whole JSON: EOF"),
        "{error}"
    );
    let deep = "[".repeat(100_000);
    assert!(parsed(&feed, deep.as_bytes()).is_err());
}

#[test]
fn entries_with_control_characters_and_endless_ones_are_refused() {
    let feed = feed("format = \"lines\"\nkeeps = \"any\"");
    let long = format!("{}.biz", "x".repeat(ENTRY_BYTES));
    let body = format!("a\0b.biz\n{long}\nfine.biz\n\u{1b}[31m.biz\n");
    let (rows, counts) = parsed(&feed, body.as_bytes()).expect("rows");
    assert_eq!(rows.len(), 1);
    assert_eq!((counts.refused, counts.canaries), (3, 0));
    assert_eq!(
        counts.samples[0],
        "t:1: `a\u{fffd}b.biz`: no entry of any kind"
    );
}

#[test]
fn canaries_cost_their_line_and_are_named() {
    let feed = feed("format = \"lines\"\nkeeps = \"any\"");
    let (rows, counts) = parsed(&feed, b"a.biz\nwww.google.com\n0.0.0.0/0\nco.uk\n").expect("rows");
    assert_eq!(rows.len(), 1);
    assert_eq!((counts.refused, counts.canaries), (3, 3));
    assert_eq!(
        counts.samples[0],
        "t:2: `www.google.com`: a name that everybody uses"
    );
}

#[test]
fn samples_are_bounded() {
    let feed = feed("format = \"lines\"\nkeeps = \"address\"");
    let (_, counts) = parsed(&feed, "no.address\n".repeat(SAMPLES + 5).as_bytes()).expect("rows");
    assert_eq!(
        (counts.refused, counts.samples.len()),
        (SAMPLES + 5, SAMPLES)
    );
}

#[test]
fn the_newest_events_of_a_manifest_come_first() {
    let id = |at: usize| format!("{at:08}-0000-4000-8000-000000000000");
    let events: Vec<String> = (0..300)
        .map(|at| format!("\"{}\":{{\"timestamp\":\"{at}\",\"info\":\"x\"}}", id(at)))
        .collect();
    let manifest = format!(
        "{{{},\"../etc\":{{\"timestamp\":\"999\"}}}}",
        events.join(",")
    );
    let found = misp_events(&mut manifest.as_bytes()).expect("manifest");
    assert_eq!(found.len(), 200);
    assert_eq!((&found[0], &found[199]), (&id(299), &id(100)));
    assert!(misp_events(&mut b"[]".as_slice()).is_err());
}
