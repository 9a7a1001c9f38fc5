//! Any bytes as a DNS message: iterators keep their bounds and say why they ended early, names
//! are lower-case and short, and a name that was read survives being written as a query.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_wire::dns::message::{MAX_ANSWERS, MAX_QUESTIONS};
use maltrail_wire::dns::name::MAX_WIRE_LEN;
use maltrail_wire::dns::{Message, Name, NameBuf, RData};

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::parse(data) else {
        assert!(data.len() < 12);
        return;
    };
    let mut questions = message.questions();
    let mut count = 0;
    for question in questions.by_ref() {
        check_name(question.name);
        count += 1;
    }
    let claimed = usize::from(message.header().question_count());
    assert!(count <= MAX_QUESTIONS);
    assert_eq!(count == claimed, questions.error().is_none());
    assert_eq!(message.first_question().is_ok(), count > 0);

    let mut answers = message.answers();
    let mut count = 0;
    for record in answers.by_ref() {
        check_name(record.name);
        if let RData::Cname(target) = record.rdata {
            check_name(target);
        }
        count += 1;
    }
    let claimed = usize::from(message.header().answer_count());
    assert!(count <= MAX_ANSWERS);
    assert_eq!(
        count == claimed && questions.error().is_none(),
        answers.error().is_none()
    );
});

fn check_name(name: Name<'_>) {
    assert!(!name.raw().is_empty());
    let mut text = NameBuf::new();
    if name.write_lower(&mut text).is_err() {
        assert!(text.is_empty());
        return;
    }
    assert!(text.len() <= MAX_WIRE_LEN - 2);
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in text
        .as_bytes()
        .split(|&byte| byte == b'.')
        .filter(|label| !label.is_empty())
    {
        query.push(label.len() as u8);
        query.extend(label);
    }
    query.extend([0, 0, 1, 0, 1]);
    let mut again = NameBuf::new();
    let question = Message::parse(&query).and_then(|message| message.first_question());
    question
        .expect("a query for a name that was read")
        .name
        .write_lower(&mut again)
        .expect("name");
    // Dots inside labels may leave empty labels, which the query cannot hold.
    let squeezed: Vec<&[u8]> = text
        .as_bytes()
        .split(|&b| b == b'.')
        .filter(|label| !label.is_empty())
        .collect();
    assert_eq!(again.as_bytes(), squeezed.join(&b'.'));
}
