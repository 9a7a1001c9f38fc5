//! HTTP messages through all that looks at them, one segment at a time.
//!
//! Order for a request, each step with at most one event: a listed server (named by a name), a
//! program for small devices (ends the request), the host's name, a missing host, a proxy probe (ends
//! the request), the name in an absolute or CONNECT target, the user agent; then the first of URL
//! trails, suspicious requests, downloads and file names. The last group is left out for whitelisted
//! hosts; they are asked for last, when there is something to report.
//!
//! Bounds: [`MAX_REQUESTS`] requests a segment, and those of [`text`].

use std::net::IpAddr;
use std::sync::Arc;

use maltrail_core::addr::{NetworkSet, is_local, parse_ip};
use maltrail_core::event::Kind;
use maltrail_core::name::HostName;
use maltrail_core::trail::TrailSet;
use maltrail_wire::http::{Request, Response};

use crate::across::Across;
use crate::engine::{EngineConfig, Names, Report};
use crate::finding::{Field, Finding, address_for};
use crate::heuristics::suspicious_request::{self, Battery, Examined};
use crate::heuristics::user_agent::{self, UserAgents};
use crate::heuristics::{
    content_type, direct_download, iot_download, missing_host, proxy_probe, seized_domain,
    sinkhole_response, suspicious_name,
};
use crate::matching::url;
use crate::state::clean_agents::CleanAgents;

pub(crate) mod text;

use text::{Host, MAX_BODY, Plus, Url, decode, without_port};

/// Most requests of one segment; more than a client has reason to put into one.
pub(crate) const MAX_REQUESTS: usize = 32;

/// Which heuristics run, decided once. Every one of them ends with `USE_HEURISTICS`.
#[derive(Clone, Copy, Debug)]
struct Enabled {
    iot_download: bool,
    missing_host: bool,
    proxy_probe: bool,
    user_agent: bool,
    suspicious_request: bool,
    direct_download: bool,
    suspicious_name: bool,
    sinkhole_response: bool,
    seized_domain: bool,
    content_type: bool,
}

/// Detection in HTTP, with the buffers it needs.
#[derive(Debug)]
pub(crate) struct Web {
    enabled: Enabled,
    check_host_domains: bool,
    home: NetworkSet,
    battery: Battery,
    user_agents: UserAgents,
    buffers: Buffers,
}

/// Buffers kept from request to request.
#[derive(Debug, Default)]
struct Buffers {
    /// What the request is about.
    url: Url,
    /// What the `Host` field says, where the target has a host of its own.
    named: Url,
    form: Vec<u8>,
    agent: Vec<u8>,
    clean_agents: Option<CleanAgents>,
    lookup: url::Scratch,
    examined: suspicious_request::Scratch,
}

impl Web {
    /// As configured.
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let detect = &config.detect;
        Self {
            enabled: Enabled {
                iot_download: detect.runs(iot_download::NAME),
                missing_host: detect.runs(missing_host::NAME) && detect.check_missing_host,
                proxy_probe: detect.runs(proxy_probe::NAME),
                user_agent: detect.runs(user_agent::NAME),
                suspicious_request: detect.runs(suspicious_request::NAME),
                direct_download: detect.runs(direct_download::NAME),
                suspicious_name: detect.runs(suspicious_name::NAME),
                sinkhole_response: detect.runs(sinkhole_response::NAME),
                seized_domain: detect.runs(seized_domain::NAME),
                content_type: detect.runs(content_type::NAME),
            },
            check_host_domains: detect.check_host_domains,
            home: config.home.clone(),
            battery: Battery::shared(),
            // A clone shares the program and has search memory of its own.
            user_agents: UserAgents::clone(&Arc::clone(&config.user_agents)),
            buffers: Buffers::default(),
        }
    }

    /// Examines a request and those behind it in the same segment.
    pub(crate) fn requests<'a>(
        &mut self,
        first: Request<'a>,
        names: &mut Names<'_, '_>,
        across: &mut Across,
        report: &mut Report<'a>,
    ) {
        let mut next = Some(first);
        for _ in 0..MAX_REQUESTS {
            let Some(request) = next else {
                return;
            };
            across.request(report.at, report.flow, request.target);
            self.request(&request, names, report);
            next = Request::parse(request.rest);
        }
        report.counters.http_requests_left += u64::from(next.is_some());
    }

    /// Examines the start of a response.
    pub(crate) fn response<'a>(&mut self, response: &Response<'a>, report: &mut Report<'a>) {
        report.seen.look(Field::HttpResponse, b"");
        let enabled = self.enabled;
        let takeover = enabled
            .sinkhole_response
            .then(|| sinkhole_response::check(response.bytes))
            .flatten()
            .or_else(|| {
                let seized = enabled.seized_domain;
                seized.then(|| seized_domain::check(response.bytes))?
            });
        if let Some(finding) = takeover {
            report.finding(finding);
        }
        if enabled.content_type
            && let Some(value) = response.fields.content_type
            && let Some(finding) = content_type::check(value)
        {
            report.seen.look(Field::HttpContentType, value);
            report.finding(finding);
        }
    }

    fn request<'a>(
        &mut self,
        request: &Request<'a>,
        names: &mut Names<'_, '_>,
        report: &mut Report<'a>,
    ) {
        let enabled = self.enabled;
        let mut buffers = std::mem::take(&mut self.buffers);
        let examined = Examination {
            web: self,
            request,
            target: Target::of(request),
            dst: report.flow.dst.ip,
        };
        let host = request.fields.host.unwrap_or_default();
        report.seen.look(Field::HttpHost, host);
        if examined.host_steps(&mut buffers, names, report) {
            if enabled.user_agent
                && let Some(agent) = request.fields.user_agent
            {
                report.seen.look(Field::HttpUserAgent, agent);
                agent_step(&self.user_agents, agent, &mut buffers, report);
            }
            report.seen.look(Field::HttpTarget, request.target);
            examined.url_steps(&mut buffers, names, report);
        }
        self.buffers = buffers;
    }
}

/// What concerns the user agent, unless it is known to be clean. The list never changes.
fn agent_step(
    user_agents: &UserAgents,
    agent: &[u8],
    buffers: &mut Buffers,
    report: &mut Report<'_>,
) {
    let clean = buffers.clean_agents.get_or_insert_with(CleanAgents::new);
    let Some(place) = clean.unknown(agent) else {
        return;
    };
    match user_agents.check(agent, &mut buffers.agent) {
        Some(finding) => report.finding(finding),
        None => {
            clean.admit(agent, place);
            report.counters.user_agent_evictions = clean.evictions();
        }
    }
}

/// The forms of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    /// A path.
    Path(&'a [u8]),
    /// What follows `scheme://`: authority and path.
    Absolute {
        http: bool,
        authority: &'a [u8],
        path: &'a [u8],
    },
    /// What CONNECT asks for.
    Authority { authority: &'a [u8], path: &'a [u8] },
}

impl<'a> Target<'a> {
    fn of(request: &Request<'a>) -> Self {
        let target = request.target;
        if target.starts_with(b"/") {
            return Self::Path(target);
        }
        let split = |text: &'a [u8]| {
            let slash = text.iter().position(|&byte| matches!(byte, b'/' | b'?'));
            let (authority, path) = text.split_at_checked(slash.unwrap_or(text.len()))?;
            let user = authority.iter().rposition(|&byte| byte == b'@');
            Some((authority.get(user.map_or(0, |at| at + 1)..)?, path))
        };
        if request.method.eq_ignore_ascii_case(b"connect") {
            return match split(target) {
                Some((authority, path)) => Self::Authority { authority, path },
                None => Self::Path(target),
            };
        }
        let scheme =
            memchr::memmem::find(target, b"://").and_then(|at| target.split_at_checked(at));
        match scheme.and_then(|(scheme, rest)| Some((scheme, split(rest.get(3..)?)?))) {
            Some((scheme, (authority, path))) => Self::Absolute {
                http: scheme.eq_ignore_ascii_case(b"http"),
                authority,
                path,
            },
            None => Self::Path(target),
        }
    }
}

/// One request being examined.
struct Examination<'e, 'a> {
    web: &'e Web,
    request: &'e Request<'a>,
    target: Target<'a>,
    dst: IpAddr,
}

impl<'a> Examination<'_, 'a> {
    /// What concerns the host; fills `buffers.url`. `false` when that says all about the request.
    fn host_steps(
        &self,
        buffers: &mut Buffers,
        names: &mut Names<'_, '_>,
        report: &mut Report<'a>,
    ) -> bool {
        let Buffers { url, named, .. } = buffers;
        let sent = self.request.fields.host;
        let host = match sent {
            Some(host) if !host.is_empty() => Host::Sent(host),
            _ => Host::Address(self.dst),
        };
        let named = match self.target {
            Target::Path(path) => {
                url.set(host, path);
                &*url
            }
            Target::Absolute {
                authority, path, ..
            }
            | Target::Authority { authority, path } => {
                url.set(Host::Sent(authority), path);
                named.set(host, b"/");
                &*named
            }
        };
        if sent.is_some() {
            if let Some(finding) = listed_server(names.trails, self.dst, named.host()) {
                report.finding(finding);
            }
            if self.web.enabled.iot_download
                && let Some(finding) = iot_download::check(named)
                && !self.is_inside()
            {
                report.seen.look(Field::HttpTarget, self.request.target);
                report.finding(finding);
                return false;
            }
            if self.web.check_host_domains {
                check_name(named, names, report);
            }
        } else if self.web.enabled.missing_host
            && self.request.body.is_some()
            && self.request.target.starts_with(b"/")
        {
            report.seen.look(Field::HttpTarget, self.request.target);
            report.finding(missing_host::finding(url));
        }
        self.target_steps(named, url, names, report)
    }

    /// What concerns a target that names its host.
    fn target_steps(
        &self,
        named: &Url,
        url: &Url,
        names: &mut Names<'_, '_>,
        report: &mut Report<'a>,
    ) -> bool {
        report.seen.look(Field::HttpTarget, self.request.target);
        match self.target {
            Target::Path(_) => return true,
            Target::Absolute { http: true, .. } if self.web.enabled.proxy_probe => {
                let port = report.flow.dst.port;
                if let Some(finding) = proxy_probe::check(names.whitelist, port, url) {
                    report.finding(finding);
                    return false;
                }
            }
            Target::Absolute { .. } | Target::Authority { .. } => {}
        }
        if !self.web.check_host_domains || named.host() != url.host() {
            check_name(url, names, report);
        }
        true
    }

    /// What concerns host and path together.
    fn url_steps(&self, buffers: &mut Buffers, names: &Names<'_, '_>, report: &mut Report<'a>) {
        let Buffers {
            url,
            form,
            lookup,
            examined,
            ..
        } = buffers;
        let body = self.body();
        let method = std::str::from_utf8(self.request.method).unwrap_or_default();
        let listed = url::check(
            names.trails,
            url,
            decoded_form(url, body, form).map(|decoded| url::Form {
                decoded,
                method,
                body,
            }),
            lookup,
        );
        let white = || names.whitelist.covers_name(url.host());
        if let Some(finding) = listed {
            if !white() {
                self.look_at_body(&finding, report);
                report.finding(finding);
            }
            return;
        }
        let request = Examined {
            url,
            method,
            body,
            local: self.is_inside(),
        };
        let found = self.suspicious(request, examined);
        if let Some(finding) = found
            && !white()
        {
            self.look_at_body(&finding, report);
            match self.forwarded_for() {
                Some(client) => report.forwarded(finding, client),
                None => report.finding(finding),
            }
        }
    }

    fn suspicious(
        &self,
        request: Examined<'_>,
        scratch: &mut suspicious_request::Scratch,
    ) -> Option<Finding<'static>> {
        let enabled = self.web.enabled;
        let by_request = enabled
            .suspicious_request
            .then(|| suspicious_request::check(&self.web.battery, request, scratch));
        if let Some(Some(finding)) = by_request {
            return Some(finding);
        }
        if !request.url.path().contains('.') {
            return None;
        }
        let download = enabled.direct_download && !request.local;
        download
            .then(|| direct_download::check(request.url))
            .flatten()
            .or_else(|| {
                let name = enabled.suspicious_name;
                name.then(|| suspicious_name::check(request.url))?
            })
    }

    /// The body in the segment, trimmed and cut.
    fn body(&self) -> &[u8] {
        let body = self.request.body.unwrap_or_default();
        body.get(..MAX_BODY).unwrap_or(body).trim_ascii()
    }

    /// What is of type HTTP was found in the body.
    fn look_at_body(&self, finding: &Finding<'_>, report: &mut Report<'a>) {
        if finding.kind == Kind::Http {
            let body = self.request.body.unwrap_or_default();
            report.seen.look(Field::HttpBody, body);
        }
    }

    /// Whether the server is one of ours.
    fn is_inside(&self) -> bool {
        is_local(self.dst) || self.web.home.contains(self.dst)
    }

    /// For whom the sender forwards, if it says so with an address.
    fn forwarded_for(&self) -> Option<IpAddr> {
        let text = std::str::from_utf8(self.request.fields.forwarded?).ok()?;
        parse_ip(text.split(',').next().unwrap_or(text).trim())
    }
}

/// The finding for a server that is listed by its address and called by a name.
fn listed_server<'t>(trails: &'t TrailSet, dst: IpAddr, host: &str) -> Option<Finding<'t>> {
    if !host.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let row = trails.ip(dst)?;
    let trail = address_for(dst, without_port(host));
    Some(Finding::listed(Kind::Ip, trail, row).at(Field::Destination))
}

/// Checks the host's name as if it were asked for.
fn check_name(url: &Url, names: &mut Names<'_, '_>, report: &mut Report<'_>) {
    let name = HostName::new(without_port(url.host()));
    if let Some(name) = name
        && let Some(finding) = names.check(name, report.counters)
    {
        report.finding(finding);
    }
}

/// The body as it would stand in a query, when there is none.
fn decoded_form<'b>(url: &Url, body: &[u8], buffer: &'b mut Vec<u8>) -> Option<&'b str> {
    if body.is_empty() || url.path().contains('?') {
        return None;
    }
    decode(body, Plus::Kept, buffer);
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_three_forms() {
        let of = |text: &'static str| {
            let request = Request::parse(text.as_bytes()).unwrap();
            Target::of(&request)
        };
        assert_eq!(of("GET /a?u=b://c HTTP/1.1\n"), Target::Path(b"/a?u=b://c"));
        assert_eq!(of("OPTIONS * HTTP/1.1\n"), Target::Path(b"*"));
        assert_eq!(
            of("GET HTTP://u:p@a.com?x HTTP/1.1\n"),
            Target::Absolute {
                http: true,
                authority: b"a.com",
                path: b"?x"
            }
        );
        assert_eq!(
            of("CONNECT a.com:443 HTTP/1.1\n"),
            Target::Authority {
                authority: b"a.com:443",
                path: b""
            }
        );
    }
}
