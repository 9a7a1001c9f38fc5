//! The request for an alert, in the shape that its receiver documents.
//!
//! `ALERT_FORMAT` is a template or one word: `slack`, `mattermost`, `discord`, `ntfy`, `homeassistant`, `json`. Without
//! it the receiver is told by the host of `ALERT_WEBHOOK_URL`, else it is `json`. No field can mention anybody, make a
//! link, or leave its place in the body.

use reqwest::Url;
use serde_json::{Value, json};

use super::fields::AlertFields;
use super::template::Template;

/// Longest text of a chat message in characters; Discord takes 2000.
const MAX_MESSAGE: usize = 1800;

/// How bodies are made.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Slack,
    Mattermost,
    Discord,
    Ntfy,
    HomeAssistant,
    Json,
    /// With the markup of the receiver, where it is known.
    Template(Template, Markup),
}

/// What texts need so that they stay texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Markup {
    None,
    Slack,
    Discord,
}

/// A body and its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) text: String,
}

impl Body {
    fn json(value: &Value) -> Self {
        Self::json_text(value.to_string())
    }

    const fn json_text(text: String) -> Self {
        Self {
            content_type: "application/json",
            headers: Vec::new(),
            text,
        }
    }
}

impl Form {
    /// By `ALERT_FORMAT` and the host of `ALERT_WEBHOOK_URL`.
    pub(crate) fn read(format: Option<&str>, url: &Url) -> Result<Self, String> {
        let markup = markup(url);
        match format.map(str::trim).unwrap_or_default() {
            "" => Ok(match markup {
                Markup::Slack => Self::Slack,
                Markup::Discord => Self::Discord,
                Markup::None => Self::Json,
            }),
            "slack" => Ok(Self::Slack),
            "mattermost" => Ok(Self::Mattermost),
            "discord" => Ok(Self::Discord),
            "ntfy" => Ok(Self::Ntfy),
            "homeassistant" => Ok(Self::HomeAssistant),
            "json" => Ok(Self::Json),
            text if !text.contains(|c: char| !c.is_ascii_alphanumeric()) => Err(format!(
                "`{text}` is no preset; use slack, mattermost, discord, ntfy, homeassistant, json or a template"
            )),
            text => Ok(Self::Template(Template::read(text)?, markup)),
        }
    }

    /// The request's body.
    pub(crate) fn body(&self, fields: &AlertFields) -> Body {
        match self {
            Self::Slack => Body::json(&json!({
                "text": cut(&message(fields, slack_text)),
                "mrkdwn": false,
                "parse": "none",
                "link_names": false,
                "unfurl_links": false,
                "unfurl_media": false,
            })),
            Self::Mattermost => Body::json(&json!({
                "username": "Maltrail",
                "text": cut(&message(fields, code)),
            })),
            Self::Discord => Body::json(&json!({
                "username": "Maltrail",
                "content": cut(&message(fields, code)),
                "allowed_mentions": {"parse": []},
                "flags": 4,
            })),
            Self::Ntfy => ntfy(fields),
            Self::HomeAssistant => home_assistant(fields),
            Self::Json => Body::json_text(fields.json()),
            Self::Template(template, markup) => {
                let body = template.fill(fields, |text| match markup {
                    Markup::None => text.to_owned(),
                    Markup::Slack => slack_text(text),
                    Markup::Discord => discord_text(text),
                });
                Body {
                    content_type: if template.is_json() {
                        "application/json"
                    } else {
                        "text/plain; charset=utf-8"
                    },
                    headers: Vec::new(),
                    text: body,
                }
            }
        }
    }
}

fn markup(url: &Url) -> Markup {
    let host = url.host_str().unwrap_or_default();
    let is = |name: &str| host == name || host.ends_with(&format!(".{name}"));
    if is("slack.com") {
        Markup::Slack
    } else if is("discord.com") || is("discordapp.com") {
        Markup::Discord
    } else {
        Markup::None
    }
}

/// `high: 10.0.0.1 -> evil.example (lumma (malware))`
fn message(fields: &AlertFields, escape: fn(&str) -> String) -> String {
    let text = |name| escape(fields.get(name));
    format!(
        "{}: {} -> {} ({})",
        fields.get("severity"),
        text("src_ip"),
        text("trail"),
        text("info")
    )
}

/// Plain text to the topic's address, as ntfy publishes it; title and tags are ours, so no header holds a field.
fn ntfy(fields: &AlertFields) -> Body {
    let (priority, tag) = match fields.get("severity") {
        "high" => ("5", "rotating_light"),
        "medium" => ("4", "warning"),
        _ => ("2", "information_source"),
    };
    Body {
        content_type: "text/plain; charset=utf-8",
        headers: vec![
            ("Title", format!("Maltrail: {}", fields.get("severity"))),
            ("Priority", priority.to_owned()),
            ("Tags", tag.to_owned()),
        ],
        text: cut(&message(fields, str::to_owned)),
    }
}

/// Any JSON is `trigger.json` of a webhook automation; `title` and `message` are what `notify` takes.
fn home_assistant(fields: &AlertFields) -> Body {
    let title = format!("Maltrail: {}", fields.get("severity"));
    let message = cut(&message(fields, str::to_owned));
    Body::json_text(format!(
        "{{\"title\": {}, \"message\": {}, \"event\": {}}}",
        Value::from(title),
        Value::from(message),
        fields.json()
    ))
}

/// Slack's three characters: with them no `<!channel>`, no `<@user>` and no `<link|text>`.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A code span that its text cannot close; nothing in one is a link or a mention.
fn code(text: &str) -> String {
    let text = text.replace('`', "'").replace('@', "@\u{200b}");
    format!("`{}`", if text.trim().is_empty() { "-" } else { &text })
}

/// Markdown characters escaped, mentions and links broken.
fn discord_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\*_~`|>[]()#<".contains(c) {
            safe.push('\\');
        }
        safe.push(c);
        if matches!(c, '@' | ':' | '<') {
            safe.push('\u{200b}');
        }
    }
    safe
}

/// A message within its bound; a code span that was cut is closed.
fn cut(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(MAX_MESSAGE) else {
        return text.to_owned();
    };
    let mut head = text.get(..end).unwrap_or_default().to_owned();
    if head.matches('`').count() % 2 == 1 {
        head.push('`');
    }
    // Half an entity would show, not harm.
    head.push('…');
    head
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::fields;
    use super::*;

    fn form(format: &str, url: &str) -> Form {
        Form::read(Some(format), &url.parse().unwrap()).unwrap()
    }

    fn body(format: &str, url: &str, trail: &str) -> Body {
        form(format, url).body(&fields(trail, "lumma (malware)"))
    }

    const HOOK: &str = "https://hooks.example.com/x";
    const HOSTILE: &str = "a`b <!channel> <@U1> @everyone [x](http://evil.example) \",\"text\":\"y";

    fn json_body(format: &str, trail: &str) -> Value {
        let body = body(format, HOOK, trail);
        assert_eq!(body.content_type, "application/json");
        serde_json::from_str(&body.text).unwrap()
    }

    #[test]
    fn slack_gets_text_without_mentions_and_links() {
        let body = json_body("slack", HOSTILE);
        let text = body["text"].as_str().unwrap();
        assert!(
            text.starts_with("high: 10.0.0.1 -> a`b &lt;!channel&gt; &lt;@U1&gt;"),
            "{text}"
        );
        assert_eq!(text.matches('<').count(), 0, "{text}");
        assert_eq!(
            (&body["parse"], &body["link_names"], &body["mrkdwn"]),
            (&json!("none"), &json!(false), &json!(false))
        );
    }

    #[test]
    fn mattermost_and_discord_get_code_spans_that_hold() {
        for (format, name) in [("mattermost", "text"), ("discord", "content")] {
            let body = json_body(format, HOSTILE);
            let text = body[name].as_str().unwrap();
            // Three spans: source, trail, info; everything hostile is inside the second.
            let parts: Vec<&str> = text.split('`').collect();
            assert_eq!(parts.len(), 7, "{text}");
            assert!(
                parts[3].starts_with("a'b <!channel>") && parts[3].ends_with("\",\"text\":\"y")
            );
            assert!(!text.contains("@everyone"), "{text}");
            assert_eq!(body["username"], "Maltrail");
        }
        let body = json_body("discord", "x");
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        assert_eq!(body.as_object().unwrap().len(), 4);
    }

    #[test]
    fn long_messages_are_cut_within_discords_bound_and_stay_closed() {
        let long = fields(&"x".repeat(1000), &"y".repeat(1000));
        let body = form("discord", HOOK).body(&long);
        let body: Value = serde_json::from_str(&body.text).unwrap();
        let text = body["content"].as_str().unwrap();
        assert!(text.chars().count() <= 2000);
        assert_eq!(text.matches('`').count() % 2, 0);
    }

    #[test]
    fn ntfy_gets_text_and_headers_of_ours() {
        let body = body("ntfy", "https://ntfy.sh/topic", "evil.example\r\nX: y");
        assert_eq!(
            body.text,
            "high: 10.0.0.1 -> evil.example  X: y (lumma (malware))"
        );
        let headers: Vec<_> = body.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(
            headers,
            [
                ("Title", "Maltrail: high"),
                ("Priority", "5"),
                ("Tags", "rotating_light")
            ]
        );
    }

    #[test]
    fn home_assistant_gets_message_and_event() {
        let body = json_body("homeassistant", "x\",\"title\":\"y");
        assert_eq!(body["title"], "Maltrail: high");
        assert_eq!(body["event"]["trail"], "x\",\"title\":\"y");
        assert_eq!(body["event"].as_object().unwrap().len(), 12);
    }

    #[test]
    fn the_host_tells_the_form_when_nothing_else_does() {
        let read = |url: &str| Form::read(None, &url.parse().unwrap()).unwrap();
        assert!(matches!(
            read("https://hooks.slack.com/services/T"),
            Form::Slack
        ));
        assert!(matches!(
            read("https://discord.com/api/webhooks/1/x"),
            Form::Discord
        ));
        assert!(matches!(read("https://notslack.com/"), Form::Json));
        assert!(matches!(read(HOOK), Form::Json));
        let error = Form::read(Some("slak"), &HOOK.parse().unwrap()).unwrap_err();
        assert!(error.contains("no preset"), "{error}");
    }

    #[test]
    fn templates_are_escaped_for_a_known_receiver() {
        let template = r#"{"text": "%(trail)s"}"#;
        let slack = body(template, "https://hooks.slack.com/x", "<!here> & \"");
        assert_eq!(slack.text, r#"{"text": "&lt;!here&gt; &amp; \""}"#);
        let discord = body(template, "https://discord.com/x", "@here [a](b)");
        assert_eq!(
            discord.text,
            "{\"text\": \"@\u{200b}here \\\\[a\\\\]\\\\(b\\\\)\"}"
        );
        assert_eq!(body(template, HOOK, "<&>").text, r#"{"text": "<&>"}"#);
    }
}
