//! A letter to one recipient as bytes: headers and two bodies. It must not know how it is sent.

use domain::{Email, MailThread, Timestamp, User};
use mail_builder::{
    MessageBuilder,
    headers::{address::Address, message_id::MessageId, raw::Raw},
};
use serde_json::json;

use crate::{Sender, letter::Letter};

/// What is on the envelope beside the letter.
#[derive(Debug)]
pub(crate) struct Addressed<'a> {
    pub(crate) to: &'a User,
    /// The others who get the same letter.
    pub(crate) others: Vec<&'a Email>,
    pub(crate) category: Option<&'static str>,
    /// What it belongs to, and by which name SES knows the first mail about that.
    pub(crate) thread: Option<(MailThread, Option<&'a str>)>,
    /// Ours; SES gives it another one.
    pub(crate) message_id: &'a str,
    pub(crate) now: Timestamp,
}

pub(crate) fn write(letter: &Letter, sender: &Sender, mail: &Addressed<'_>) -> Vec<u8> {
    let to = (one_line(&mail.to.name), mail.to.email.as_str().to_owned());
    let mut message = MessageBuilder::new()
        .from(sender.from.as_str())
        .to(to)
        .subject(one_line(&letter.subject))
        .date(mail.now.seconds())
        .message_id(mail.message_id)
        .text_body(letter.text())
        .html_body(letter.html());
    if let Some((project, organization)) = &letter.list {
        let namespace = &sender.list_namespace;
        let list = format!("<{project}.{organization}.{namespace}>");
        message = message.header("List-Id", Raw::new(list));
    }
    if let Some(category) = mail.category {
        let category = json!({ "category": category }).to_string();
        message = message.header("X-SMTPAPI", Raw::new(category));
    }
    if sender.enable_replies && !mail.others.is_empty() {
        let others = mail
            .others
            .iter()
            .map(|email| Address::from(email.as_str()));
        message = message.reply_to(Address::new_list(others.collect()));
    }
    if let Some((thread, first)) = mail.thread {
        // SES replaces our Message-ID. What all mails of a thread name is made up, and the name that SES
        // gave to the first one is what the others answer to.
        let domain = domain_of(&sender.from);
        let mut references = vec![format!("{thread}.{}@{domain}", mail.to.id)];
        if let Some(first) = first {
            let first = format!("{first}@{}", sender.ses_domain);
            message = message.in_reply_to(first.clone());
            references.push(first);
        }
        message = message.references(MessageId::new_list(references.into_iter()));
    }
    let mut bytes = Vec::new();
    message.serialize(&mut bytes);
    bytes
}

/// A name for a message: when, by which process, and a random number.
pub(crate) fn message_id(sender: &Sender, now: Timestamp, random: u32) -> String {
    let time: String = now.to_string().chars().take(19).collect();
    let time = time.replace([':', '-', 'T'], "");
    let (process, domain) = (std::process::id(), domain_of(&sender.from));
    format!("{time}.{process}.{}@{domain}", random % 100_000)
}

pub(crate) fn domain_of(address: &Email) -> &str {
    address.as_str().rsplit('@').next().unwrap_or_default()
}

/// What follows a line break could be taken for another header.
fn one_line(text: &str) -> String {
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_line_break_is_no_part_of_a_header() {
        for (text, line) in [
            ("Foo\r\nBar", "Foo"),
            ("Foo\nBcc: x@y.example", "Foo"),
            ("\r\nBar", ""),
            ("a\u{0}\u{7f}b\t", "ab"),
            ("Grüße", "Grüße"),
        ] {
            assert_eq!(one_line(text), line, "{text:?}");
        }
    }

    #[test]
    fn a_message_is_named_by_time_process_and_chance_under_the_domain_it_is_from() {
        let sender = Sender {
            from: "picket@mail.example".parse().unwrap(),
            list_namespace: String::new(),
            subject_prefix: String::new(),
            enable_replies: false,
            ses_domain: String::new(),
        };
        let now = Timestamp::from_millis(1_795_247_323_120);
        let process = std::process::id();
        let name = format!("20261121074843.{process}.7@mail.example");
        assert_eq!(message_id(&sender, now, 300_007), name);
    }
}
