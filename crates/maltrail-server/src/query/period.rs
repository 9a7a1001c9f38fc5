//! Times as people write them: `09:00-10:30`, `>14:00`, `2026-11-24`, `2026-11-20..2026-11-22`,
//! `2026-11-24T09:00:00Z..2026-11-24T10:00:00+01:00`.
//!
//! A clock time means the day that is shown, in the zone of the server. A single point is its whole minute,
//! day or microsecond. A stretch ends where its last clock time or moment starts, and where its last day is
//! over. [`moments`] makes times of it once the days are known.

use maltrail_core::time::{Day, Timestamp, Zone};

use super::ast::{Edge, Moments, Period, Point};

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Reads a period, or says what is wrong.
pub(crate) fn period(text: &str) -> Result<Period, String> {
    let edge = |text: &str, over: bool| -> Result<Option<Edge>, String> {
        let point = point(text).ok_or_else(|| wrong(text))?;
        Ok(Some(Edge { point, over }))
    };
    if let Some(rest) = text.strip_prefix(">=") {
        return Ok(Period {
            from: edge(rest, false)?,
            to: None,
        });
    }
    if let Some(rest) = text.strip_prefix("<=") {
        return Ok(Period {
            from: None,
            to: edge(rest, true)?,
        });
    }
    if let Some(rest) = text.strip_prefix('>') {
        return Ok(Period {
            from: edge(rest, true)?,
            to: None,
        });
    }
    if let Some(rest) = text.strip_prefix('<') {
        return Ok(Period {
            from: None,
            to: edge(rest, false)?,
        });
    }
    let parts = text.split_once("..").or_else(|| {
        // Days and moments have dashes of their own.
        text.split_once('-')
            .filter(|(from, _)| clock(from).is_some())
    });
    let Some((from, to)) = parts else {
        return Ok(Period {
            from: edge(text, false)?,
            to: edge(text, true)?,
        });
    };
    let mut period = Period {
        from: edge(from, false)?,
        to: edge(to, false)?,
    };
    if let Some(to) = &mut period.to {
        to.over = matches!(to.point, Point::Day(_));
    }
    if let (Some(Point::Day(from)), Some(Point::Day(to))) = (
        period.from.map(|edge| edge.point),
        period.to.map(|edge| edge.point),
    ) && to < from
    {
        return Err(format!("{to} is before {from}."));
    }
    Ok(period)
}

fn wrong(text: &str) -> String {
    format!(
        "`{text}` is not a time; write 09:00, 09:00-10:30, >14:00, 2026-11-24 or 2026-11-24T09:00:00Z..2026-11-24T10:00:00Z."
    )
}

fn point(text: &str) -> Option<Point> {
    if let Some(minutes) = clock(text) {
        return Some(Point::Clock(minutes));
    }
    if let Ok(day) = text.parse::<Day>() {
        return Some(Point::Day(day));
    }
    // The language is without letter case, and RFC 3339 allows small letters.
    Timestamp::parse_rfc3339(&text.to_ascii_uppercase()).map(Point::Moment)
}

/// `H:MM` or `HH:MM`, up to `24:00`.
fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str, least: usize| -> Option<u16> {
        let fits =
            (least..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse().ok()).flatten()
    };
    let (hours, minutes) = (digits(hours, 1)?, digits(minutes, 2)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY_MINUTES).then_some(all)
}

/// The times that a period means on these days. A clock time after its end goes over midnight.
pub(crate) fn moments(
    period: Period,
    zone: &Zone,
    days: impl Iterator<Item = Day>,
) -> Vec<Moments> {
    let is_clock = |edge: Option<Edge>| {
        matches!(
            edge,
            Some(Edge {
                point: Point::Clock(_),
                ..
            })
        )
    };
    if !is_clock(period.from) && !is_clock(period.to) {
        let at = |edge: Option<Edge>, open: i64| {
            let open = || Timestamp::from_micros(open);
            edge.map_or_else(open, |edge| moment(edge, zone, None))
        };
        return vec![stretch(
            zone,
            at(period.from, i64::MIN),
            at(period.to, i64::MAX),
        )];
    }
    let minutes = |edge: Option<Edge>| match edge {
        Some(Edge {
            point: Point::Clock(minutes),
            over,
        }) => Some(minutes + u16::from(over)),
        _ => None,
    };
    let backwards =
        matches!((minutes(period.from), minutes(period.to)), (Some(from), Some(to)) if to <= from);
    let mut all = Vec::new();
    for day in days {
        let at = |edge: Option<Edge>, open: u16| {
            let start = Edge {
                point: Point::Clock(open),
                over: false,
            };
            moment(edge.unwrap_or(start), zone, Some(day))
        };
        let (from, to) = (at(period.from, 0), at(period.to, DAY_MINUTES));
        if backwards {
            all.push(stretch(zone, at(None, 0), to));
            all.push(stretch(zone, from, at(None, DAY_MINUTES)));
        } else {
            all.push(stretch(zone, from, to));
        }
    }
    all
}

fn stretch(zone: &Zone, from: Timestamp, to: Timestamp) -> Moments {
    const HOUR: i64 = 3_600_000_000;
    let micros = to.micros().saturating_sub(from.micros());
    let hours = if micros >= 24 * HOUR {
        u32::MAX
    } else {
        // A clock that jumps leaves out or repeats an hour: half-hour steps touch each.
        let steps = (0..=micros.max(1) / (HOUR / 2)).map(|n| from.plus_micros(n * (HOUR / 2)));
        let last = to.plus_micros(-1).max(from);
        steps
            .take_while(|at| *at <= last)
            .chain([last])
            .fold(0, |mask, at| mask | 1 << zone.hour(at))
    };
    Moments { from, to, hours }
}

fn moment(edge: Edge, zone: &Zone, day: Option<Day>) -> Timestamp {
    match edge.point {
        Point::Moment(at) => at.plus_micros(i64::from(edge.over)),
        Point::Day(day) => start_of(zone, day.plus(i32::from(edge.over)), 0),
        Point::Clock(minutes) => {
            let minutes = minutes + u16::from(edge.over);
            let day = day.unwrap_or_else(|| zone.day(Timestamp::from_micros(0)));
            match minutes.checked_sub(DAY_MINUTES) {
                None => start_of(zone, day, minutes),
                Some(_) => start_of(zone, day.plus(1), 0),
            }
        }
    }
}

/// A minute of a day. One that the clock leaves out in spring is where the clock jumps.
fn start_of(zone: &Zone, day: Day, minutes: u16) -> Timestamp {
    let text = format!("{day} {:02}:{:02}:00.000000", minutes / 60, minutes % 60);
    zone.parse_log_time(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str) -> Vec<(String, String)> {
        let zone = Zone::named("Europe/Zagreb").unwrap();
        let day: Day = "2026-11-24".parse().unwrap();
        moments(period(text).unwrap(), &zone, [day].into_iter())
            .into_iter()
            .map(|moments| (shown(moments.from), shown(moments.to)))
            .collect()
    }

    fn shown(at: Timestamp) -> String {
        match at.micros() {
            i64::MIN => "start".into(),
            i64::MAX => "end".into(),
            _ => at.to_rfc3339().replace(":00.000000Z", ""),
        }
    }

    #[test]
    fn times_mean_what_they_say_in_the_zone_of_the_server() {
        for (text, wanted) in [
            ("09:00-10:30", "2026-11-24T08:00 2026-11-24T09:30"),
            ("9:00..10:30", "2026-11-24T08:00 2026-11-24T09:30"),
            ("09:00", "2026-11-24T08:00 2026-11-24T08:01"),
            (">14:00", "2026-11-24T13:01 2026-11-24T23:00"),
            (">=14:00", "2026-11-24T13:00 2026-11-24T23:00"),
            ("<01:00", "2026-11-23T23:00 2026-11-24T00:00"),
            ("00:00-24:00", "2026-11-23T23:00 2026-11-24T23:00"),
            ("2026-11-20", "2026-11-19T23:00 2026-11-20T23:00"),
            (
                "2026-11-20..2026-11-21",
                "2026-11-19T23:00 2026-11-21T23:00",
            ),
            (">2026-11-20", "2026-11-20T23:00 end"),
            ("<=2026-11-20", "start 2026-11-20T23:00"),
            (
                "2026-11-24T09:00:00Z..2026-11-24T11:00:00+01:00",
                "2026-11-24T09:00 2026-11-24T10:00",
            ),
            (">=2026-11-24t09:00:00z", "2026-11-24T09:00 end"),
            (
                "09:00..2026-11-24T11:00:00+01:00",
                "2026-11-24T08:00 2026-11-24T10:00",
            ),
        ] {
            let times = times(text);
            assert_eq!(times.len(), 1, "{text}");
            assert_eq!(format!("{} {}", times[0].0, times[0].1), wanted, "{text}");
        }
        let night = times("22:00-02:00");
        let night: Vec<String> = night
            .iter()
            .map(|(from, to)| format!("{from} {to}"))
            .collect();
        assert_eq!(
            night,
            [
                "2026-11-23T23:00 2026-11-24T01:00",
                "2026-11-24T21:00 2026-11-24T23:00"
            ]
        );
    }

    #[test]
    fn hours_are_those_that_are_touched() {
        let day: Day = "2026-11-24".parse().unwrap();
        let mask = |text: &str| {
            let all = moments(period(text).unwrap(), &Zone::UTC, [day].into_iter());
            all.iter().fold(0, |mask, moments| mask | moments.hours)
        };
        assert_eq!(mask("09:00-11:00"), 1 << 9 | 1 << 10);
        assert_eq!(mask("09:50-10:01"), 1 << 9 | 1 << 10);
        assert_eq!(mask("09:59"), 1 << 9);
        assert_eq!(mask("23:00-01:00"), 1 << 23 | 1);
        assert_eq!(mask("2026-11-24"), u32::MAX);
    }

    #[test]
    fn what_is_no_time_is_said() {
        for text in [
            "",
            "9",
            "25:00",
            "24:01",
            "09:60",
            "9:0",
            "09:00-",
            "-09:00",
            ">",
            "yesterday",
            "2026-02-30",
            "2026-11-24T",
            "1:00-2:00-3:00",
            "09:00:00",
            "2026-11-21..2026-11-20",
        ] {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
