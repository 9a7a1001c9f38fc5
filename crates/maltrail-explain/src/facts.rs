//! What an answer is made of: set, catalog, whitelists, ranges, ignore rules.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use maltrail_core::addr::{NetworkSet, parse_ip, parse_net};
use maltrail_core::config::{Config, Environment};
use maltrail_core::event::{Details, Event, Kind, Members};
use maltrail_core::time::Timestamp;
use maltrail_core::trail::TrailSet;
use maltrail_core::trail::key::leading_quad;
use maltrail_engine::{IgnoreRules, UserAgents, lookup};
use maltrail_feeds::catalog::{Catalog, CatalogError, Listing};
use maltrail_feeds::explain::{Line, Named, Question, covering_line};
use maltrail_feeds::update::sudo_owner;
use maltrail_feeds::{embedded, load};

/// Everything that an answer looks at.
pub struct Facts {
    pub(super) trails: Arc<TrailSet>,
    pub(super) agents: UserAgents,
    pub(super) whitelists: Vec<Named>,
    pub(super) user_whitelist: Option<String>,
    pub(super) custom_dir: String,
    agent_list: Named,
    /// What a person should know beside.
    pub(super) notes: Vec<String>,
    catalog: Option<Catalog>,
    ranges: Vec<Named>,
    ignore: Vec<Named>,
    ignore_expression: Option<String>,
    disabled_info: Option<regex::Regex>,
    minimum_feeds: u32,
}

impl Facts {
    /// With the set of `TRAILS_FILE`, as the sensor loads it.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn load(config: &Config, environment: &Environment) -> anyhow::Result<Self> {
        let whitelist = load::whitelist(&config.trails, &config.root)?;
        let owner = sudo_owner(environment);
        let (set, origins) = load::trail_set(&config.trails, &whitelist, owner)?;
        let mut facts = Self::over(config, Arc::new(set))?;
        if matches!(origins, load::Origins::BuiltIn) {
            let note = format!(
                "there is no `{}` yet: only the built-in trails were looked at",
                config.trails.file.display()
            );
            facts.notes.insert(0, note);
        }
        Ok(facts)
    }

    /// With a set that is loaded already.
    ///
    /// # Errors
    /// When the catalog or a list cannot be read.
    pub fn over(config: &Config, trails: Arc<TrailSet>) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let folder = config
            .trails
            .file
            .parent()
            .unwrap_or_else(|| Path::new("."));
        let catalog = match Catalog::open(folder) {
            Ok(catalog) => Some(catalog),
            Err(error @ (CatalogError::Missing(_) | CatalogError::Other(_))) => {
                notes.push(format!("lists, lines and dates are unknown: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut whitelists = built_in("whitelist.txt");
        whitelists.extend(files(config, "whitelist.txt"));
        whitelists.extend(config.trails.user_whitelist.as_deref().and_then(read));
        let mut ranges = Vec::new();
        for name in ["bogon_ranges.txt", "cdn_ranges.txt"] {
            ranges.extend(built_in(name));
            ranges.extend(files(config, name));
        }
        let mut ignore = files(config, "ignore_events.txt");
        ignore.extend(config.output.ignore_list.as_deref().and_then(read));
        let disabled = config.trails.disabled_info.as_deref();
        let agent_list = read(&config.root.join("data/ua.txt"))
            .or_else(|| built_in("ua.txt").pop())
            .context("there is no list of user agents")?;
        let agents = UserAgents::parse(&agent_list.text)
            .with_context(|| format!("cannot use `{}`", agent_list.name))?;
        Ok(Self {
            trails,
            agents,
            agent_list,
            whitelists,
            user_whitelist: config
                .trails
                .user_whitelist
                .as_ref()
                .map(|path| path.display().to_string()),
            custom_dir: config.trails.custom_dir.display().to_string(),
            notes,
            catalog,
            ranges,
            ignore,
            ignore_expression: config.output.ignore_regex.clone(),
            disabled_info: disabled
                .map(regex::Regex::new)
                .transpose()
                .context("DISABLED_TRAILS_INFO_REGEX does not compile")?,
            minimum_feeds: config.trails.ip_minimum_feeds,
        })
    }

    /// The lists that name a key; none when they cannot be known.
    pub(super) fn listings(&self, key: &str) -> Vec<Listing> {
        let catalog = self.catalog.as_ref();
        catalog
            .and_then(|catalog| catalog.find(key).ok())
            .unwrap_or_default()
    }

    /// How the line of the list of user agents that matches is called, by asking each line alone.
    pub(super) fn agent_line(&self, text: &str) -> String {
        let list = &self.agent_list;
        let matches = |line: &str| {
            let alone = UserAgents::parse(line).ok();
            alone.is_some_and(|agents| lookup::agent(&agents, text).is_some())
        };
        let line = (1..).zip(list.text.lines()).find(|(_, line)| matches(line));
        line.map_or_else(
            || format!("the list of user agents ({})", list.name),
            |(line, entry)| format!("the user agent `{entry}` ({}:{line})", list.name),
        )
    }

    /// Why a key that lists name is not in the set.
    pub(super) fn why_unused(&self, key: &str, listings: &[Listing]) -> String {
        if let Some(last) = listings.iter().map(|listing| listing.last).min().flatten() {
            return format!("no longer listed since {last}");
        }
        let present = || listings.iter().filter(|listing| listing.last.is_none());
        if let Some(line) = covering_line(&self.whitelists, Question::Trail(key)) {
            return format!("whitelisted: {}:{} `{}`", line.file, line.line, line.text);
        }
        if let Some(line) = self.excluding_range(key) {
            return format!(
                "in an unroutable or CDN range: {}:{} `{}`",
                line.file, line.line, line.text
            );
        }
        if let Some(regex) = &self.disabled_info
            && present().all(|listing| regex.is_match(&listing.info))
        {
            return "DISABLED_TRAILS_INFO_REGEX matches its label".to_owned();
        }
        let mut origins: Vec<&str> = present()
            .map(|listing| listing.reference.as_str())
            .collect();
        origins.sort_unstable();
        origins.dedup();
        if parse_ip(key).is_some() && origins.len() < self.minimum_feeds as usize {
            return format!(
                "{} of the {} lists that IP_MINIMUM_FEEDS wants",
                origins.len(),
                self.minimum_feeds
            );
        }
        "the set was made without it: a bare word of a feed, a local name, or another build"
            .to_owned()
    }

    fn excluding_range(&self, key: &str) -> Option<Line> {
        let quad = leading_quad(key).map_or(key, |(quad, _)| quad);
        let address = parse_ip(quad)?;
        self.ranges.iter().find_map(|list| {
            let holds = |line: &str| {
                let net = parse_net(line.split(['#', ',']).next().unwrap_or_default().trim());
                net.is_some_and(|net| NetworkSet::new([net]).contains(address))
            };
            let (line, text) = (1..).zip(list.text.lines()).find(|(_, line)| holds(line))?;
            Some(line_of(list, line, text))
        })
    }

    /// The ignore rule that hides a question for a name.
    pub(super) fn ignoring_name(&self, name: &str) -> Option<Line> {
        self.ignoring(&[event(Kind::Dns, name, None, Some(53), "UDP")])
    }

    /// The ignore rule that hides every packet to or from an address.
    pub(super) fn ignoring_address(&self, address: IpAddr, port: Option<u16>) -> Option<Line> {
        let to = event(Kind::Ip, &address.to_string(), Some(address), port, "TCP");
        let mut from = to.clone();
        std::mem::swap(&mut from.src_ip, &mut from.dst_ip);
        std::mem::swap(&mut from.src_port, &mut from.dst_port);
        self.ignoring(&[to, from])
    }

    /// The first rule that hides one of these events.
    fn ignoring(&self, events: &[Event]) -> Option<Line> {
        let hides = |rules: &IgnoreRules| {
            let mut left = events.to_vec();
            rules.retain(&mut left);
            left.len() < events.len()
        };
        let by_rule = self.ignore.iter().find_map(|list| {
            let one = |text: &str| {
                let mut rules = IgnoreRules::default();
                rules.add(text);
                hides(&rules)
            };
            let (line, text) = (1..).zip(list.text.lines()).find(|(_, line)| one(line))?;
            Some(line_of(list, line, text))
        });
        by_rule.or_else(|| {
            let text = self.ignore_expression.as_deref()?;
            let mut rules = IgnoreRules::default();
            rules.set_expression(Some(text)).ok()?;
            hides(&rules).then(|| Line {
                file: "IGNORE_EVENTS_REGEX".to_owned(),
                line: 1,
                text: text.to_owned(),
            })
        })
    }
}

/// An event as it would be written; the other end is one that no rule names by itself.
fn event(
    kind: Kind,
    trail: &str,
    to: Option<IpAddr>,
    port: Option<u16>,
    proto: &'static str,
) -> Event {
    let nobody = IpAddr::from([0, 0, 0, 0]);
    Event {
        time: Timestamp::from_micros(0),
        sensor: String::new(),
        src_ip: nobody.into(),
        src_port: 40_000.into(),
        dst_ip: to.unwrap_or(nobody).into(),
        dst_port: port.map_or_else(Members::none, Members::from),
        proto: proto.into(),
        kind,
        trail: trail.to_owned(),
        info: String::new(),
        reference: String::new(),
        details: Details::default(),
    }
}

fn line_of(list: &Named, line: usize, text: &str) -> Line {
    Line {
        file: list.name.clone(),
        line,
        text: text.trim().to_owned(),
    }
}

fn built_in(name: &str) -> Vec<Named> {
    vec![Named {
        name: format!("built-in {name}"),
        text: embedded::collection().data(name).into_owned(),
    }]
}

fn files(config: &Config, name: &str) -> Vec<Named> {
    let places = load::places(&config.trails, &config.root, name);
    places.iter().filter_map(|path| read(path)).collect()
}

/// A list that may be absent.
fn read(path: &Path) -> Option<Named> {
    let bytes = fs::read(path).ok()?;
    Some(Named {
        name: path.display().to_string(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}
