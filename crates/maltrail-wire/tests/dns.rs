//! DNS messages: what a compressing writer writes is read back, and arbitrary bytes keep every
//! bound.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use maltrail_wire::dns::name::{MAX_LABELS, MAX_WIRE_LEN};
use maltrail_wire::dns::{Message, Name, NameBuf, RData, rtype};
use proptest::prelude::*;

type Labels = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(Labels),
    Other(Vec<u8>),
}

/// Writes a message, each name sharing every suffix that was written before.
struct Writer {
    bytes: Vec<u8>,
    suffixes: HashMap<Labels, usize>,
}

impl Writer {
    fn new(answers: usize) -> Self {
        let mut bytes = vec![0x11, 0x11, 0x81, 0x80, 0, 1];
        bytes.extend(u16::try_from(answers).expect("count").to_be_bytes());
        bytes.extend([0, 0, 0, 0]);
        Self {
            bytes,
            suffixes: HashMap::new(),
        }
    }

    fn name(&mut self, name: &[Vec<u8>]) {
        for (position, label) in name.iter().enumerate() {
            let suffix = name[position..].to_vec();
            if let Some(&at) = self.suffixes.get(&suffix) {
                let pointer = 0xc000 | u16::try_from(at).expect("offset");
                self.bytes.extend(pointer.to_be_bytes());
                return;
            }
            self.suffixes.insert(suffix, self.bytes.len());
            self.bytes.push(u8::try_from(label.len()).expect("label"));
            self.bytes.extend(label);
        }
        self.bytes.push(0);
    }

    fn question(&mut self, name: &[Vec<u8>], qtype: u16) {
        self.name(name);
        self.bytes.extend(qtype.to_be_bytes());
        self.bytes.extend([0, 1]);
    }

    fn record(&mut self, name: &[Vec<u8>], data: &Data) {
        self.name(name);
        let rtype = match data {
            Data::A(_) => rtype::A,
            Data::Aaaa(_) => rtype::AAAA,
            Data::Cname(_) => rtype::CNAME,
            Data::Other(_) => 16,
        };
        self.bytes.extend(rtype.to_be_bytes());
        self.bytes.extend([0, 1, 0, 0, 0, 60, 0, 0]);
        let start = self.bytes.len();
        match data {
            Data::A(address) => self.bytes.extend(address.octets()),
            Data::Aaaa(address) => self.bytes.extend(address.octets()),
            Data::Cname(target) => self.name(target),
            Data::Other(bytes) => self.bytes.extend(bytes),
        }
        let len = u16::try_from(self.bytes.len() - start).expect("length");
        self.bytes[start - 2..start].copy_from_slice(&len.to_be_bytes());
    }
}

fn lower(name: &[Vec<u8>]) -> Vec<u8> {
    name.join(&b'.').to_ascii_lowercase()
}

fn text(name: Name<'_>) -> Vec<u8> {
    let mut out = NameBuf::new();
    name.write_lower(&mut out).expect("a readable name");
    out.as_bytes().to_vec()
}

fn name() -> impl Strategy<Value = Labels> {
    // Few distinct labels, so that suffixes repeat and compression happens.
    let label = prop_oneof![
        3 => prop::sample::select(vec![b"com".to_vec(), b"Evil".to_vec(), b"www".to_vec(), b"a".to_vec()]),
        1 => prop::collection::vec(any::<u8>(), 1..64),
    ];
    prop::collection::vec(label, 0..6).prop_filter("longer than a name may be", |name| {
        name.iter().map(|label| label.len() + 1).sum::<usize>() < MAX_WIRE_LEN
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Data::A(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| Data::Aaaa(octets.into())),
        name().prop_map(Data::Cname),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Data::Other),
    ]
}

fn write(question: &[Vec<u8>], qtype: u16, answers: &[(Labels, Data)]) -> Vec<u8> {
    let mut writer = Writer::new(answers.len());
    writer.question(question, qtype);
    for (name, data) in answers {
        writer.record(name, data);
    }
    writer.bytes
}

/// Reads everything that `bytes` offers and checks the bounds; returns how many items there were.
fn read_all(bytes: &[u8]) -> Result<usize, TestCaseError> {
    let Ok(message) = Message::parse(bytes) else {
        prop_assert!(bytes.len() < 12);
        return Ok(0);
    };
    let mut items = 0;
    let mut questions = message.questions();
    for question in questions.by_ref() {
        check_name(bytes, question.name)?;
        items += 1;
    }
    let claimed = usize::from(message.header().question_count());
    prop_assert_eq!(questions.error().is_none(), items == claimed);
    prop_assert_eq!(message.first_question().is_ok(), items > 0);

    let mut answers = message.answers();
    let mut records = 0;
    for record in answers.by_ref() {
        check_name(bytes, record.name)?;
        if let RData::Cname(target) = record.rdata {
            check_name(bytes, target)?;
        }
        records += 1;
    }
    let claimed = usize::from(message.header().answer_count());
    prop_assert!(records <= claimed);
    if answers.error().is_none() {
        prop_assert_eq!(records, claimed);
    }
    Ok(items + records)
}

fn check_name(bytes: &[u8], name: Name<'_>) -> Result<(), TestCaseError> {
    let (outer, raw) = (bytes.as_ptr_range(), name.raw().as_ptr_range());
    prop_assert!(outer.start <= raw.start && raw.end <= outer.end && !name.raw().is_empty());
    let mut out = NameBuf::new();
    let written = name.write_lower(&mut out);
    prop_assert!(written.is_ok() || out.is_empty());
    prop_assert!(out.len() <= MAX_WIRE_LEN - 2);
    prop_assert!(!out.as_bytes().iter().any(u8::is_ascii_uppercase));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_written_message_is_read_back(
        question in name(),
        qtype in any::<u16>(),
        answers in prop::collection::vec((name(), data()), 0..8),
    ) {
        let bytes = write(&question, qtype, &answers);
        let message = Message::parse(&bytes).expect("header");
        let first = message.first_question().expect("question");
        prop_assert_eq!((text(first.name), first.qtype, first.qclass), (lower(&question), qtype, 1));

        let mut records = message.answers();
        for (name, data) in &answers {
            let record = records.next().expect("record");
            prop_assert_eq!(text(record.name), lower(name));
            prop_assert_eq!((record.class, record.ttl_secs), (1, 60));
            match (data, record.rdata) {
                (Data::A(expected), RData::A(found)) => prop_assert_eq!(*expected, found),
                (Data::Aaaa(expected), RData::Aaaa(found)) => prop_assert_eq!(*expected, found),
                (Data::Cname(expected), RData::Cname(found)) => {
                    prop_assert_eq!(lower(expected), text(found));
                }
                (Data::Other(expected), RData::Other(found)) => prop_assert_eq!(expected, found),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert!(records.next().is_none() && records.error().is_none());
    }

    #[test]
    fn damaged_messages_keep_the_bounds(
        question in name(),
        answers in prop::collection::vec((name(), data()), 0..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = write(&question, 1, &answers);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        read_all(&bytes)?;
    }

    #[test]
    fn any_bytes_keep_the_bounds(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes)?;
    }
}

/// A query for `WwW.Evil-Domain.COM`, and a response with three records.
fn samples() -> [Vec<u8>; 2] {
    let labels =
        |text: &str| -> Labels { text.split('.').map(|l| l.as_bytes().to_vec()).collect() };
    let name = labels("WwW.Evil-Domain.COM");
    let answers = [
        (name.clone(), Data::Cname(labels("cdn.Evil-Domain.COM"))),
        (
            labels("cdn.Evil-Domain.COM"),
            Data::A(Ipv4Addr::new(203, 0, 113, 99)),
        ),
        (
            labels("cdn.Evil-Domain.COM"),
            Data::Aaaa(Ipv6Addr::LOCALHOST),
        ),
    ];
    [write(&name, 1, &[]), write(&name, 1, &answers)]
}

#[test]
fn prefixes_of_a_message_never_say_more() {
    for sample in samples() {
        let all = read_all(&sample).expect("bounds");
        let mut before = 0;
        for cut in 0..=sample.len() {
            let items = read_all(&sample[..cut]).expect("bounds");
            assert!(before <= items && items <= all, "{cut} bytes");
            before = items;
        }
        assert_eq!(before, all);
    }
}

#[test]
fn any_changed_byte_keeps_the_bounds() {
    for mut sample in samples() {
        for at in 0..sample.len() {
            let original = sample[at];
            for value in 0..=u8::MAX {
                sample[at] = value;
                read_all(&sample).unwrap_or_else(|error| panic!("byte {at} = {value}: {error}"));
            }
            sample[at] = original;
        }
    }
}

#[test]
fn a_name_through_a_pointer_behind_every_label_is_read() {
    // Each piece is one label and a pointer to the piece before it.
    let mut writer = Writer::new(2);
    let mut name: Labels = vec![];
    writer.question(&name, 1);
    let mut at = writer.bytes.len() - 5;
    let mut pieces = vec![];
    for _ in 0..MAX_LABELS {
        let here = writer.bytes.len() + 11 + pieces.len();
        pieces.extend([1, b'x']);
        pieces.extend((0xc000 | u16::try_from(at).expect("offset")).to_be_bytes());
        at = here;
        name.push(b"x".to_vec());
    }
    writer.record(&[], &Data::Other(pieces));
    writer
        .bytes
        .extend((0xc000 | u16::try_from(at).expect("offset")).to_be_bytes());
    writer
        .bytes
        .extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7]);

    let message = Message::parse(&writer.bytes).expect("header");
    let record = message.answers().nth(1).expect("record");
    assert_eq!(record.rdata, RData::A(Ipv4Addr::new(203, 0, 113, 7)));
    assert_eq!(text(record.name), lower(&name));
}
