//! JSON bodies without a tree of them: a path leads to the records, and of each record only the wanted
//! fields are kept. A path is made of names, `[]` for each element of a list and `*` for each member of an
//! object: `data[].indicator`, `*[]`.

use std::fmt;
use std::io::{self, BufRead};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::plain::info_of;
use super::{FormatError, Sink};
use crate::registry::Keeps;

/// Most values of one field of one record.
const VALUES: usize = 10_000;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Member,
    Element,
}

fn path(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in text.split('.').filter(|part| !part.is_empty()) {
        let name = part.trim_end_matches("[]");
        match name {
            "" => {}
            "*" => steps.push(Step::Member),
            name => steps.push(Step::Name(name.to_owned())),
        }
        let lists = (part.len() - name.len()) / 2;
        steps.extend(std::iter::repeat_n(Step::Element, lists));
    }
    steps
}

/// Values of the fields of a record, in order of the fields.
pub(super) type Found = [Vec<String>];

/// Calls `found(number, fields)` for each record below one of `paths`, counted from 1.
pub(super) fn records(
    body: &mut dyn BufRead,
    paths: &[&str],
    fields: &[&str],
    mut found: impl FnMut(usize, &Found) -> io::Result<()>,
) -> Result<(), FormatError> {
    let paths: Vec<Vec<Step>> = paths.iter().map(|text| path(text)).collect();
    let fields: Vec<Vec<Step>> = fields.iter().map(|text| path(text)).collect();
    let mut state = State {
        fields: &fields,
        number: 0,
        found: &mut found,
        failure: None,
    };
    let seed = Walk {
        paths: paths.iter().map(Vec::as_slice).collect(),
        state: &mut state,
    };
    let mut reader = serde_json::Deserializer::from_reader(body);
    let read = seed.deserialize(&mut reader).and_then(|()| reader.end());
    match (state.failure, read) {
        (Some(error), _) => Err(error.into()),
        (None, Err(error)) => Err(FormatError::Form(format!("no whole JSON: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

/// Records of the feed's own paths.
pub(super) fn read(sink: &mut Sink<'_>, body: &mut dyn BufRead) -> Result<(), FormatError> {
    let feed = sink.feed;
    let fields = [&*feed.field, &*feed.info_field, &*feed.only_field];
    records(body, &[&feed.records], &fields, |number, found| {
        take(sink, number, found)
    })
}

/// One record a line; a line that is none costs that line.
pub(super) fn line(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let feed = sink.feed;
    if line.trim().is_empty() {
        return Ok(());
    }
    let fields = [&*feed.field, &*feed.info_field, &*feed.only_field];
    let read = records(
        &mut line.as_bytes(),
        &[&feed.records],
        &fields,
        |_, found| take(sink, number, found),
    );
    match read {
        Err(FormatError::Io(error)) => Err(error),
        Err(FormatError::Form(reason)) => {
            sink.refuse(number, line, &reason, false);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn take(sink: &mut Sink<'_>, number: usize, found: &Found) -> io::Result<()> {
    let [texts, infos, only] = found else {
        return Ok(());
    };
    let feed = sink.feed;
    if !feed.only_field.is_empty() && !only.iter().any(|value| feed.allows(value)) {
        return Ok(());
    }
    let info = infos
        .first()
        .filter(|_| !feed.info_field.is_empty())
        .map(|family| info_of(sink, family));
    for text in texts {
        let text = if feed.keeps == Keeps::Url {
            text.split_once("://")
                .map_or(text.as_str(), |(_, rest)| rest)
        } else {
            text
        };
        match &info {
            Some(info) => sink.add_labelled(number, text, info)?,
            None => sink.add(number, text)?,
        }
    }
    Ok(())
}

struct State<'a> {
    fields: &'a [Vec<Step>],
    number: usize,
    found: &'a mut dyn FnMut(usize, &Found) -> io::Result<()>,
    failure: Option<io::Error>,
}

/// Goes along the paths down to the records.
struct Walk<'p, 's, 'a> {
    paths: Vec<&'p [Step]>,
    state: &'s mut State<'a>,
}

impl<'p> Walk<'p, '_, '_> {
    fn below(&self, step: impl Fn(&Step) -> bool) -> Vec<&'p [Step]> {
        below(self.paths.iter().copied(), step)
    }
}

fn below<'p>(
    paths: impl Iterator<Item = &'p [Step]>,
    step: impl Fn(&Step) -> bool,
) -> Vec<&'p [Step]> {
    paths
        .filter_map(|path| path.split_first().filter(|(first, _)| step(first)))
        .map(|(_, rest)| rest)
        .collect()
}

fn is_member(step: &Step, key: &str) -> bool {
    match step {
        Step::Name(name) => name == key,
        Step::Member => true,
        Step::Element => false,
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        if !self.paths.iter().any(|path| path.is_empty()) {
            return input.deserialize_any(self);
        }
        let state = self.state;
        let mut values = vec![Vec::new(); state.fields.len()];
        let fields = state.fields.iter().map(Vec::as_slice).enumerate();
        Grab {
            wanted: fields.collect(),
            values: &mut values,
        }
        .deserialize(input)?;
        state.number += 1;
        (state.found)(state.number, &values).map_err(|error| {
            let text = error.to_string();
            state.failure = Some(error);
            de::Error::custom(text)
        })
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let paths = self.below(|step| is_member(step, &key));
            if paths.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Walk {
                    paths,
                    state: &mut *self.state,
                })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let paths = self.below(|step| *step == Step::Element);
        if paths.is_empty() {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while list
            .next_element_seed(Walk {
                paths: paths.clone(),
                state: &mut *self.state,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Takes the wanted fields of one record.
struct Grab<'p, 'v> {
    wanted: Vec<(usize, &'p [Step])>,
    values: &'v mut [Vec<String>],
}

impl<'p> Grab<'p, '_> {
    fn below(&self, step: impl Fn(&Step) -> bool) -> Vec<(usize, &'p [Step])> {
        let mut found = Vec::new();
        for (slot, path) in &self.wanted {
            let rest = below(std::iter::once(*path), &step);
            found.extend(rest.into_iter().map(|rest| (*slot, rest)));
        }
        found
    }

    fn value(self, text: &str) {
        for (slot, path) in self.wanted {
            if let Some(values) = self.values.get_mut(slot)
                && path.is_empty()
                && values.len() < VALUES
            {
                values.push(text.to_owned());
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Grab<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Grab<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let wanted = self.below(|step| is_member(step, &key));
            if wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Grab {
                    wanted,
                    values: &mut *self.values,
                })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let wanted = self.below(|step| *step == Step::Element);
        if wanted.is_empty() {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while list
            .next_element_seed(Grab {
                wanted: wanted.clone(),
                values: &mut *self.values,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.value(text);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.value(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.value(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.value(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.value(&value.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
