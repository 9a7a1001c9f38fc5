use std::process::{Command, Stdio};

use maltrail_core::addr::parse_net;

use super::*;

const ROWS: [(&str, &str, &str); 20] = [
    ("evil.biz", "zeus (malware)", "(static)"),
    ("xn--bcher-kva.biz", "a,\"b\"", "feed"),
    ("5.9.9.9", "zeus (malware)", "feed"),
    ("5.9.9.0/24", "zeus (malware)", "feed"),
    ("5.9.9.9:8080", "zeus (malware)", "feed"),
    ("2001:db8::1", "x", "feed"),
    ("[2001:db8::1]:443", "x", "feed"),
    ("evil.biz/gate.php", "x", "feed"),
    ("/gate.php", "x", "feed"),
    ("dga[0-9]+\\.biz", "x", "(static)"),
    ("zzbad", "x", "(static)"),
    // Never to be blocked.
    ("192.168.1.1", "x", "feed"),
    ("198.51.100.7", "x", "feed"),
    ("8.8.8.8:53", "x", "feed"),
    ("sub.good.biz", "x", "feed"),
    ("0.0.0.0/0", "x", "feed"),
    ("198.51.0.0/16", "x", "feed"),
    // Hostile.
    ("evil.biz\n127.0.0.1 bank.example", "x", "feed"),
    ("a.biz;}} drop; #", "x", "feed"),
    ("-evil.biz", "x", "feed"),
];

fn write(format: Format, info: Option<&str>, kinds: &[RowKind]) -> (String, ExportCounts) {
    let selection = Selection {
        info: info.map(|info| Regex::new(info).expect("expression")),
        kinds: kinds.to_vec(),
        whitelist: Whitelist::parse(["good.biz\n8.8.8.8\n"]),
        own: NetworkSet::new(parse_net("198.51.100.0/24")),
    };
    let rows = ROWS.iter().map(|(key, info, reference)| Trail {
        key,
        info,
        reference,
    });
    let mut out = Vec::new();
    let counts = export(rows, format, &selection, 7, &mut out).expect("memory");
    (String::from_utf8(out).expect("text"), counts)
}

#[test]
fn a_hosts_file_has_safe_names_alone() {
    let (text, counts) = write(Format::Hosts, None, &[]);
    assert_eq!(text, "0.0.0.0 evil.biz\n0.0.0.0 xn--bcher-kva.biz\n");
    assert_eq!(
        counts,
        ExportCounts {
            written: 2,
            unfit: 12,
            spared: 6
        }
    );
}

#[test]
fn a_policy_zone_covers_a_name_and_what_is_below_it() {
    let (text, _) = write(Format::Rpz, Some("zeus"), &[]);
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "@ IN SOA localhost. root.localhost. 7 3600 600 86400 300",
            "@ IN NS localhost.",
            "evil.biz CNAME .",
            "*.evil.biz CNAME .",
        ]
    );
}

#[test]
fn rows_are_selected_by_kind_and_label() {
    let (text, counts) = write(
        Format::Csv,
        Some("^zeus"),
        &[RowKind::Address, RowKind::Network],
    );
    assert_eq!(
        text,
        "5.9.9.9,zeus (malware),feed\r\n5.9.9.0/24,zeus (malware),feed\r\n"
    );
    assert_eq!(counts.written, 2);
    let (text, _) = write(Format::Csv, None, &[RowKind::Name]);
    assert!(
        text.contains("xn--bcher-kva.biz,\"a,\"\"b\"\"\",feed\r\n"),
        "{text}"
    );
    assert!(!text.contains("good.biz"), "{text}");
}

#[test]
fn a_table_holds_addresses_alone() {
    let (text, counts) = write(Format::Nft, None, &[]);
    let elements: Vec<&str> = text
        .lines()
        .filter(|line| line.ends_with(','))
        .map(str::trim)
        .collect();
    assert_eq!(
        elements,
        [
            "5.9.9.0/24,",
            "5.9.9.9,",
            "2001:db8::1,",
            "5.9.9.9 . 8080,",
            "2001:db8::1 . 443,"
        ]
    );
    assert_eq!((counts.written, counts.spared), (5, 6));
}

#[test]
fn nft_takes_the_table() {
    let (text, _) = write(Format::Nft, None, &[]);
    let (empty, _) = write(Format::Nft, Some("nothing has this label"), &[]);
    for text in [text, empty] {
        let child = Command::new("nft")
            .args(["-c", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("SKIPPED nft_takes_the_table: no nft here");
            return;
        };
        child
            .stdin
            .take()
            .expect("pipe")
            .write_all(text.as_bytes())
            .expect("pipe");
        let output = child.wait_with_output().expect("nft");
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("Operation not permitted") {
            println!("SKIPPED nft_takes_the_table: nft may not look at the kernel's tables here");
            return;
        }
        assert!(output.status.success(), "{said}\n{text}");
    }
}
