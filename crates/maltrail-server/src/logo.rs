//! `HEADER_LOGO`, made safe: the reference puts its HTML into the page as it is; here a text and one picture of it
//! are taken, and nothing else of it reaches the page.
//!
//! A picture is shown when it is part of the value (`data:image/…`) or a path on this server; the page loads nothing
//! from elsewhere.

use std::borrow::Cow;

use serde::Serialize;

/// Longest text in characters.
const TEXT_CHARS: usize = 40;
/// Longest picture in bytes.
const IMAGE_BYTES: usize = 64 * 1024;

/// What stands at the top left instead of the product's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Logo {
    /// Text; empty for none.
    pub(crate) text: String,
    /// `data:image/…` or a path on this server; empty for none.
    pub(crate) image: String,
}

impl Logo {
    /// Of the option's value. `None` when nothing of it can be shown.
    pub(crate) fn new(html: &str) -> Option<Self> {
        if let Some(image) = address(html.trim()) {
            let (text, image) = (String::new(), image.to_owned());
            return Some(Self { text, image });
        }
        let logo = Self {
            text: text(html),
            image: image(html).unwrap_or_default().to_owned(),
        };
        (!logo.text.is_empty() || !logo.image.is_empty()).then_some(logo)
    }
}

/// The text between tags.
fn text(html: &str) -> String {
    let mut plain = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        plain.push_str(before);
        plain.push(' ');
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let words = entities(&plain);
    let words: Vec<&str> = words.split_whitespace().collect();
    let visible = |letter: &char| !letter.is_control();
    let joined = words.join(" ");
    joined.chars().filter(visible).take(TEXT_CHARS).collect()
}

fn entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    // `&amp;` last, so that `&amp;lt;` stays `&lt;`.
    let pairs = [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    let mut plain = text.to_owned();
    for (entity, letter) in pairs {
        plain = plain.replace(entity, letter);
    }
    Cow::Owned(plain)
}

/// The `src` of the first `<img>`, if the page may show it.
fn image(html: &str) -> Option<&str> {
    let lower = html.to_ascii_lowercase();
    let at = lower.find("<img")?;
    let end = lower
        .get(at..)?
        .find('>')
        .map_or(html.len(), |end| at + end);
    let src = lower.get(at..end)?.find("src=")? + at + 4;
    let value = html.get(src..end)?;
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value.get(1..)?.split(quote).next()?,
        _ => value.split([' ', '\t']).next()?,
    };
    showable(value.trim())
}

/// A value that is nothing but the address of a picture.
fn address(value: &str) -> Option<&str> {
    let lower = value.to_ascii_lowercase();
    let named = [".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp"];
    let is_picture =
        lower.starts_with("data:image/") || named.iter().any(|end| lower.ends_with(end));
    (is_picture && !value.contains([' ', '<']))
        .then_some(value)
        .and_then(showable)
}

/// The address, if the page may show it.
fn showable(value: &str) -> Option<&str> {
    let inline = value
        .get(..11)
        .is_some_and(|head| head.eq_ignore_ascii_case("data:image/"));
    let local = !value.contains([':', '\\']) && !value.starts_with("//");
    let fits = !value.is_empty() && value.len() <= IMAGE_BYTES && !value.contains(char::is_control);
    (fits && (inline || local)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logo(html: &str) -> Option<(String, String)> {
        Logo::new(html).map(|logo| (logo.text, logo.image))
    }

    fn shown(text: &str, image: &str) -> Option<(String, String)> {
        Some((text.into(), image.into()))
    }

    #[test]
    fn text_and_one_picture_are_taken() {
        assert_eq!(logo("ACME"), shown("ACME", ""));
        assert_eq!(
            logo("<b>ACME</b> &amp; <i>sons</i>"),
            shown("ACME & sons", "")
        );
        assert_eq!(
            logo("<img src=\"/logo.png\" alt='x'> ACME"),
            shown("ACME", "/logo.png")
        );
        assert_eq!(logo("<IMG SRC='logo.svg'>"), shown("", "logo.svg"));
        assert_eq!(
            logo("<img src=/a/logo.svg width=3>"),
            shown("", "/a/logo.svg")
        );
        assert_eq!(logo("/logo.PNG"), shown("", "/logo.PNG"));
        assert_eq!(logo("our logo.png"), shown("our logo.png", ""));
        let data = "data:image/png;base64,AAAA";
        assert_eq!(logo(data), shown("", data));
        assert_eq!(logo(&format!("<img src=\"{data}\">")), shown("", data));
    }

    #[test]
    fn nothing_else_reaches_the_page() {
        for html in [
            "",
            "<script src=x></script>",
            "<img src=\"https://evil.example/x.png\">",
            "<img src=//evil.example/x.png>",
            "<img src=\"javascript:alert(1)\">",
            "<img src=\"data:text/html,x\">",
            "<img src=\"\\\\evil.example\\x\">",
            "<img",
            "<img src=",
            "<",
        ] {
            assert_eq!(logo(html), None, "{html}");
        }
        assert_eq!(
            logo("<script>alert(1)</script>"),
            shown("alert(1)", ""),
            "text is shown as text"
        );
        assert_eq!(logo(&"x".repeat(100)).unwrap().0.len(), TEXT_CHARS);
        assert_eq!(logo("&amp;lt;b&gt;\u{1b}[2J"), shown("&lt;b>[2J", ""));
        let large = format!("<img src=\"data:image/png,{}\">", "A".repeat(IMAGE_BYTES));
        assert_eq!(logo(&large), None);
    }
}
