//! What an organization sets up for itself: options, flags, name, slug and relays it trusts.
//!
//! An option that was never set is absent and reads as its default. What changes is told in the audit log
//! as texts like `from 5 to 6`, in the spelling that its readers look for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AuditEvent, AvatarType, Feature, Organization, OrganizationFacts, OrganizationFlags,
    OrganizationStatus, Picture, ResolveCommitsOn, Role, Slug, Timestamp,
};

/// What an option is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum OptionValue {
    Boolean(bool),
    Number(i64),
    Texts(Vec<String>),
    Text(String),
    /// Nothing, said so.
    Nothing,
}

impl OptionValue {
    /// The spelling in the audit log.
    fn spelled(&self) -> String {
        match self {
            Self::Boolean(value) => spelled(*value).to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Texts(texts) => {
                let quoted = |text: &String| {
                    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
                    format!("'{text}'")
                };
                let quoted: Vec<_> = texts.iter().map(quoted).collect();
                format!("[{}]", quoted.join(", "))
            }
            Self::Nothing => "None".to_owned(),
        }
    }
}

fn spelled(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// What an option may be, and what it is where nobody has set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Yes or no.
    Boolean(bool),
    /// A whole number or nothing. Only organizations that have such an option already may set it.
    LegacyRate {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
        /// Where nobody has set it.
        default: i64,
    },
    /// How many crash reports of an issue are kept: -1, which is all of them, to 100.
    CrashReports,
    /// Who may do something: whoever has at least this role.
    Role(Role),
    /// Names of fields, [`OptionKind::MOST_FIELDS`] characters in all.
    Fields,
    /// Selectors of fields, see [`is_selector`].
    Selectors,
    /// A document of rules as JSON, see [`is_rule_document`].
    Rules,
    /// A time in milliseconds, at least 1; nothing where nobody has set it.
    Threshold,
}

impl OptionKind {
    /// How long the names of fields may be, all together.
    pub const MOST_FIELDS: usize = 4_000;

    /// What the option is where nobody has set it.
    pub fn default(self) -> OptionValue {
        match self {
            Self::Boolean(value) => OptionValue::Boolean(value),
            Self::LegacyRate { default, .. } => OptionValue::Number(default),
            Self::CrashReports => OptionValue::Number(0),
            Self::Role(role) => OptionValue::Text(role.as_str().to_owned()),
            Self::Fields | Self::Selectors | Self::Rules | Self::Threshold => OptionValue::Nothing,
        }
    }
}

/// An option: how clients call it, how it is kept, and what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrganizationOption {
    /// The name in requests and answers.
    pub field: &'static str,
    /// The name in the table.
    pub key: &'static str,
    /// What it may be.
    pub kind: OptionKind,
}

const fn option(field: &'static str, key: &'static str, kind: OptionKind) -> OrganizationOption {
    OrganizationOption { field, key, kind }
}

const fn switch(field: &'static str, key: &'static str, default: bool) -> OrganizationOption {
    option(field, key, OptionKind::Boolean(default))
}

const fn rate(
    field: &'static str,
    key: &'static str,
    (least, most): (i64, i64),
    default: i64,
) -> OrganizationOption {
    let kind = OptionKind::LegacyRate {
        least,
        most,
        default,
    };
    option(field, key, kind)
}

impl OrganizationOption {
    /// Every option, in the order in which changes are told.
    #[rustfmt::skip]
    pub const ALL: [Self; 28] = [
        rate("projectRateLimit", "sentry:project-rate-limit", (50, 100), 100),
        rate("accountRateLimit", "sentry:account-rate-limit", (0, 1_000_000), 0),
        switch("dataScrubber", "sentry:require_scrub_data", false),
        option("sensitiveFields", "sentry:sensitive_fields", OptionKind::Fields),
        option("safeFields", "sentry:safe_fields", OptionKind::Selectors),
        switch("scrapeJavaScript", "sentry:scrape_javascript", true),
        switch("dataScrubberDefaults", "sentry:require_scrub_defaults", false),
        option("storeCrashReports", "sentry:store_crash_reports", OptionKind::CrashReports),
        option("attachmentsRole", "sentry:attachments_role", OptionKind::Role(Role::Member)),
        option("debugFilesRole", "sentry:debug_files_role", OptionKind::Role(Role::Admin)),
        switch("eventsMemberAdmin", "sentry:events_member_admin", true),
        switch("alertsMemberWrite", "sentry:alerts_member_write", true),
        switch("scrubIPAddresses", "sentry:require_scrub_ip_address", false),
        option("relayPiiConfig", "sentry:relay_pii_config", OptionKind::Rules),
        switch("allowJoinRequests", "sentry:join_requests", true),
        option("apdexThreshold", "sentry:apdex_threshold", OptionKind::Threshold),
        switch("aiSuggestedSolution", "sentry:ai_suggested_solution", true),
        switch("hideAiFeatures", "sentry:hide_ai_features", false),
        // Nothing of this bundle fixes anything by itself.
        switch("autofixEnabled", "sentry:autofix_enabled", false),
        switch("githubPRBot", "sentry:github_pr_bot", true),
        switch("githubOpenPRBot", "sentry:github_open_pr_bot", true),
        switch("githubNudgeInvite", "sentry:github_nudge_invite", true),
        switch("issueAlertsThreadFlag", "sentry:issue_alerts_thread_flag", true),
        switch("metricAlertsThreadFlag", "sentry:metric_alerts_thread_flag", true),
        switch("metricsActivatePercentiles", "sentry:metrics_activate_percentiles", true),
        switch("metricsActivateLastForGauges", "sentry:metrics_activate_last_for_gauges", false),
        switch("uptimeAutodetection", "sentry:uptime_autodetection", true),
        switch("rollbackEnabled", "sentry:rollback_enabled", true),
    ];
}

/// A flag: how clients call it, and where it lies.
#[derive(Debug, Clone, Copy)]
pub struct OrganizationFlag {
    /// The name in requests and answers.
    pub field: &'static str,
    /// The name in the audit log.
    pub name: &'static str,
    /// Whether clients say the opposite of what is kept.
    pub inverted: bool,
    at: fn(&mut OrganizationFlags) -> &mut bool,
}

impl OrganizationFlag {
    /// Every flag, in the order in which changes are told.
    #[rustfmt::skip]
    pub const ALL: [Self; 9] = [
        Self { field: "openMembership", name: "allow_joinleave", inverted: false, at: |it| &mut it.allow_joinleave },
        Self { field: "allowSharedIssues", name: "disable_shared_issues", inverted: true, at: |it| &mut it.disable_shared_issues },
        Self { field: "enhancedPrivacy", name: "enhanced_privacy", inverted: false, at: |it| &mut it.enhanced_privacy },
        Self { field: "isEarlyAdopter", name: "early_adopter", inverted: false, at: |it| &mut it.early_adopter },
        Self { field: "codecovAccess", name: "codecov_access", inverted: false, at: |it| &mut it.codecov_access },
        Self { field: "require2FA", name: "require_2fa", inverted: false, at: |it| &mut it.require_2fa },
        Self { field: "allowMemberProjectCreation", name: "disable_member_project_creation", inverted: true, at: |it| &mut it.disable_member_project_creation },
        Self { field: "allowSuperuserAccess", name: "prevent_superuser_access", inverted: true, at: |it| &mut it.prevent_superuser_access },
        Self { field: "allowMemberInvite", name: "disable_member_invite", inverted: true, at: |it| &mut it.disable_member_invite },
    ];

    /// The flag that clients call so.
    pub fn named(field: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.field == field)
    }

    /// What clients are told of it.
    pub fn shown(&self, mut flags: OrganizationFlags) -> bool {
        *(self.at)(&mut flags) != self.inverted
    }
}

/// A relay that the organization trusts, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedRelay {
    /// What people call it.
    pub name: String,
    /// Names it to the servers: 32 bytes as base64 of URLs.
    pub public_key: String,
    /// What for.
    pub description: Option<String>,
    /// When it came into the list.
    pub created: Timestamp,
    /// When its name or description was last set to something else.
    pub last_modified: Timestamp,
}

impl TrustedRelay {
    /// Whether a text can be a relay's public key.
    pub fn is_key(text: &str) -> bool {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        text.len() == 43 && text.bytes().all(legal)
    }

    fn is_like(&self, given: &GivenRelay) -> bool {
        self.name == given.name && self.description == given.description
    }
}

/// A relay as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // as in `TrustedRelay`
pub struct GivenRelay {
    pub name: String,
    pub public_key: String,
    pub description: Option<String>,
}

/// What an organization has set that nobody needs who only wants to know the organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationSettings {
    /// Rises with each change.
    pub ver: u64,
    /// The options that were set, by their keys.
    pub options: BTreeMap<String, OptionValue>,
    /// Relays, in the order that a request gave them.
    pub trusted_relays: Vec<TrustedRelay>,
}

impl OrganizationSettings {
    /// What an option is, set or not.
    pub fn option(&self, option: &OrganizationOption) -> OptionValue {
        let set = self.options.get(option.key);
        set.cloned().unwrap_or_else(|| option.kind.default())
    }

    /// Whether rates may be set: whoever has one may set both.
    pub fn has_rates(&self) -> bool {
        OrganizationOption::ALL.iter().any(|option| {
            matches!(option.kind, OptionKind::LegacyRate { .. })
                && self.options.contains_key(option.key)
        })
    }
}

/// What somebody wants changed of an organization; what is `None`, and what is not in a list, stays.
#[derive(Debug, Clone, Default)]
pub struct OrganizationUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another slug.
    pub slug: Option<Slug>,
    /// The role that somebody gets who is invited without one.
    pub default_role: Option<Role>,
    /// When commits resolve what they refer to.
    pub resolve_commits_on: Option<ResolveCommitsOn>,
    /// Whether it is not to be deleted after all.
    pub cancel_deletion: bool,
    /// Features with whether they are to be on.
    pub features: Vec<(Feature, bool)>,
    /// Options with what they are to be.
    pub options: Vec<(OrganizationOption, OptionValue)>,
    /// Flags with what clients say of them.
    pub flags: Vec<(OrganizationFlag, bool)>,
    /// Another list of relays.
    pub trusted_relays: Option<Vec<GivenRelay>>,
    /// What is to be shown for it.
    pub avatar_type: Option<AvatarType>,
    /// Another picture, which is stored already.
    pub picture: Option<Picture>,
}

impl OrganizationChange {
    /// What the audit log tells of it, if anything.
    pub fn event(&self) -> Option<AuditEvent> {
        if self.restored {
            let facts = OrganizationFacts::of(&self.organization);
            return Some(AuditEvent::OrganizationRestore(facts));
        }
        let told = Some(&self.told).filter(|told| !told.is_empty());
        told.cloned().map(AuditEvent::OrganizationEdit)
    }
}

/// An organization as it is to be, and what is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationChange {
    /// As it is to be.
    pub organization: Organization,
    /// What it is to have set.
    pub settings: OrganizationSettings,
    /// What changed, by name: `to 5` or `from 5 to 6`. Empty where only defaults were written down.
    pub told: BTreeMap<String, String>,
    /// Whether it was to be deleted and is not any more.
    pub restored: bool,
}

impl OrganizationUpdate {
    /// What is to be, if that is not what is. An organization that goes can only be restored.
    pub fn apply(
        &self,
        organization: &Organization,
        settings: &OrganizationSettings,
        now: Timestamp,
    ) -> Option<OrganizationChange> {
        if organization.status == OrganizationStatus::DeletionInProgress && !self.cancel_deletion {
            return None;
        }
        let mut change = OrganizationChange {
            organization: organization.clone(),
            settings: settings.clone(),
            told: BTreeMap::new(),
            restored: self.cancel_deletion && organization.status != OrganizationStatus::Active,
        };
        for (option, value) in &self.options {
            change.set_option(option, value);
        }
        if let Some(relays) = &self.trusted_relays {
            change.set_relays(relays, now);
        }
        for (flag, shown) in &self.flags {
            change.set_flag(flag, *shown);
        }
        for (feature, on) in &self.features {
            change.set_feature(*feature, *on);
        }
        let target = &mut change.organization;
        if let Some(name) = &self.name {
            tell(&mut change.told, "name", &mut target.name, name);
        }
        if let Some(slug) = &self.slug {
            tell(&mut change.told, "slug", &mut target.slug, slug);
        }
        if let Some(role) = &self.default_role {
            let (old, new) = (target.default_role.as_str(), role.as_str());
            tell(&mut change.told, "default_role", &mut { old }, &new);
            target.default_role = *role;
        }
        if let Some(on) = &self.resolve_commits_on {
            let (old, new) = (target.resolve_commits_on.as_str(), on.as_str());
            tell(&mut change.told, "resolve_commits_on", &mut { old }, &new);
            target.resolve_commits_on = *on;
        }
        if change.restored && organization.status == OrganizationStatus::DeletionInProgress {
            // It may be gone already.
            target.picture = None;
            target.avatar_type = AvatarType::LetterAvatar;
        }
        // Neither is told in the audit log.
        if let Some(avatar_type) = self.avatar_type {
            target.avatar_type = avatar_type;
        }
        if let Some(picture) = &self.picture {
            target.picture = Some(picture.clone());
        }
        if change.restored {
            target.status = OrganizationStatus::Active;
        }
        if change.organization == *organization && change.settings == *settings {
            return None;
        }
        change.settings.ver += 1;
        Some(change)
    }
}

fn tell<T: Clone + PartialEq + std::fmt::Display>(
    told: &mut BTreeMap<String, String>,
    name: &str,
    old: &mut T,
    new: &T,
) {
    if old != new {
        told.insert(name.to_owned(), format!("from {old} to {new}"));
        old.clone_from(new);
    }
}

impl OrganizationChange {
    fn set_option(&mut self, option: &OrganizationOption, value: &OptionValue) {
        let old = self
            .settings
            .options
            .insert(option.key.to_owned(), value.clone());
        let new = value.spelled();
        let text = match old {
            // A default that is written down changes nothing.
            None if *value == option.kind.default() => return,
            None => format!("to {new}"),
            Some(old) if old == *value => return,
            Some(old) => format!("from {} to {new}", old.spelled()),
        };
        self.told.insert(option.field.to_owned(), text);
    }

    fn set_flag(&mut self, flag: &OrganizationFlag, shown: bool) {
        let value = (flag.at)(&mut self.organization.flags);
        let new = shown != flag.inverted;
        if *value != new {
            *value = new;
            let text = format!("to {}", spelled(new));
            self.told.insert(flag.name.to_owned(), text);
        }
    }

    fn set_feature(&mut self, feature: Feature, on: bool) {
        let features = &mut self.organization.features;
        let names = |all: &[Feature]| {
            let names = all.iter().map(|it| it.as_str().to_owned());
            OptionValue::Texts(names.collect()).spelled()
        };
        let old = names(features);
        features.retain(|present| *present != feature);
        if on {
            features.push(feature);
            features.sort();
        }
        let new = names(features);
        if old != new {
            let text = format!("from {old} to {new}");
            self.told.insert("features".to_owned(), text);
        }
    }

    fn set_relays(&mut self, given: &[GivenRelay], now: Timestamp) {
        let old = std::mem::take(&mut self.settings.trusted_relays);
        let relay = |given: &GivenRelay| {
            let known = old.iter().find(|it| it.public_key == given.public_key);
            TrustedRelay {
                name: given.name.clone(),
                public_key: given.public_key.clone(),
                description: given.description.clone(),
                created: known.map_or(now, |it| it.created),
                last_modified: match known {
                    Some(known) if known.is_like(given) => known.last_modified,
                    Some(_) | None => now,
                },
            }
        };
        let new: Vec<_> = given.iter().map(relay).collect();
        if new != old {
            let text = match old.is_empty() {
                true => format!("to {}", relays(&new)),
                false => format!("from {} to {}", relays(&old), relays(&new)),
            };
            self.told.insert("trustedRelays".to_owned(), text);
        }
        self.settings.trusted_relays = new;
    }
}

/// Relays as the audit log shows them: by name and key.
fn relays(relays: &[TrustedRelay]) -> String {
    let shown = |it: &TrustedRelay| format!("{} ({})", it.name, it.public_key);
    OptionValue::Texts(relays.iter().map(shown).collect()).spelled()
}

/// Whether a text says which fields of an event are meant: names, `*`, `**`, `$types` and `'quoted names'`
/// joined by dots, and combined by `&&`, `||`, `!` and parentheses.
pub fn is_selector(text: &str) -> bool {
    // Each is a call: what nobody writes by hand is no selector.
    const DEEPEST: usize = 100;
    if text.matches(['(', '!']).count() > DEEPEST {
        return false;
    }
    let rest = alternatives(text);
    rest.is_some_and(|rest| rest.trim_start().is_empty())
}

/// Reads as much as belongs to an expression, and gives the rest.
fn alternatives(text: &str) -> Option<&str> {
    let mut rest = operand(text)?;
    loop {
        let next = rest.trim_start();
        let joined = next.strip_prefix("&&").or_else(|| next.strip_prefix("||"));
        match joined {
            Some(more) => rest = operand(more)?,
            None => return Some(rest),
        }
    }
}

fn operand(text: &str) -> Option<&str> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('!') {
        return operand(rest);
    }
    match text.strip_prefix('(') {
        Some(rest) => alternatives(rest)?.trim_start().strip_prefix(')'),
        None => path(text),
    }
}

fn path(text: &str) -> Option<&str> {
    let mut rest = segment(text)?;
    while let Some(more) = rest.strip_prefix('.') {
        rest = segment(more)?;
    }
    Some(rest)
}

fn segment(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let end = quoted
            .replace("''", "__")
            .find('\'')
            .filter(|end| *end > 0)?;
        return quoted.get(end + 1..);
    }
    let rest = text.strip_prefix("**").or_else(|| text.strip_prefix('*'));
    if rest.is_some() {
        return rest;
    }
    let named = text.strip_prefix('$').unwrap_or(text);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let rest = named.trim_start_matches(legal);
    (rest.len() < named.len()).then_some(rest)
}

/// Whether a text is a document of rules for what is taken out of events: an object that may have `rules` (objects
/// with a type), `applications` (selectors, each with names of rules) and `vars`.
pub fn is_rule_document(text: &str) -> bool {
    let Ok(Value::Object(document)) = serde_json::from_str(text) else {
        return false;
    };
    let typed = |rule: &Value| rule.get("type").is_some_and(Value::is_string);
    let named = |(selector, rules): (&String, &Value)| {
        let rules = rules.as_array();
        is_selector(selector) && rules.is_some_and(|all| all.iter().all(Value::is_string))
    };
    document.iter().all(|(name, part)| match name.as_str() {
        "rules" => part.as_object().is_some_and(|it| it.values().all(typed)),
        "applications" => part.as_object().is_some_and(|it| it.iter().all(named)),
        "vars" => part.is_object(),
        _ => false,
    })
}

/// What an organization cannot be called, because URLs and hosts have a meaning for it.
#[rustfmt::skip]
pub const RESERVED_ORGANIZATION_SLUGS: [&str; 107] = [
    "404", "500", "_admin", "_experiment", "_static", "about", "accept", "access", "account", "accountspayable",
    "acl", "admin", "answers", "ap", "api", "app", "at", "au1", "auth", "authentication", "avatar", "billing",
    "blog", "branding", "careers", "client", "clients", "community", "contact", "corp", "customers", "de",
    "debug", "devinfra", "docs", "enterprise", "eu", "events", "expenses", "ext", "extension", "extensions",
    "features", "finance", "for", "from", "get-cli", "github-deployment-gate", "guide", "help", "ingest",
    "ingest-beta", "integration-platform", "integrations", "invoice", "invoices", "ja", "jobs", "legal",
    "login", "logout", "lp", "mail", "manage", "my", "onboarding", "organization-avatar", "organizations",
    "out", "payment", "payments", "platforms", "plugins", "policy", "pricing", "privacy", "project-avatar",
    "projects", "receipt", "receipts", "referrals", "register", "remote", "resources", "sa1", "sales",
    "security", "sentry-apps", "settings", "signup", "sponsorship", "ssh", "sso", "staff", "subscribe",
    "support", "syntax", "syntaxfm", "team-avatar", "teams", "terms", "thanks", "themonitor", "trust", "us",
    "vs", "welcome",
];

/// The slug that a text asks for: letters, digits and dashes, at least 3, beginning and not ending with a dash,
/// kept in lower case.
pub fn organization_slug(text: &str) -> Result<Slug, String> {
    let invalid = "Enter a valid slug of at least 3 letters, numbers or hyphens. It begins with a letter \
                   or a number, does not end with a hyphen and is not entirely numeric.";
    let folded = text.to_ascii_lowercase();
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let shaped = folded.len() >= 3
        && folded.bytes().all(legal)
        && !folded.starts_with('-')
        && !folded.ends_with('-');
    if RESERVED_ORGANIZATION_SLUGS.contains(&folded.as_str()) {
        return Err(format!(
            "The slug \"{folded}\" is reserved and not allowed."
        ));
    }
    let slug = folded.parse().ok().filter(|_| shaped);
    slug.ok_or_else(|| invalid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OrganizationId;

    fn organization() -> Organization {
        let id = OrganizationId::new(1).unwrap();
        Organization::new(id, "acme".parse().unwrap(), "Acme", at(0))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn named(field: &str) -> OrganizationOption {
        let found = OrganizationOption::ALL
            .into_iter()
            .find(|it| it.field == field);
        found.unwrap()
    }

    fn flag(field: &str) -> OrganizationFlag {
        let found = OrganizationFlag::ALL
            .into_iter()
            .find(|it| it.field == field);
        found.unwrap()
    }

    #[test]
    fn what_changes_is_told_in_the_words_that_readers_of_the_log_look_for() {
        let texts = |texts: &[&str]| {
            OptionValue::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
        };
        let mut update = OrganizationUpdate {
            options: vec![
                (named("dataScrubber"), OptionValue::Boolean(true)),
                (named("scrapeJavaScript"), OptionValue::Boolean(true)),
                (named("sensitiveFields"), texts(&["a", "b's"])),
                (named("storeCrashReports"), OptionValue::Number(-1)),
            ],
            flags: vec![
                (flag("allowSharedIssues"), false),
                (flag("openMembership"), true),
            ],
            name: Some("Acme Inc".into()),
            default_role: Some(Role::Admin),
            ..OrganizationUpdate::default()
        };
        let seen = OrganizationSettings::default();
        let first = update.apply(&organization(), &seen, at(1)).unwrap();
        let told: Vec<_> = first.told.iter().map(|(k, v)| format!("{k} {v}")).collect();
        assert_eq!(
            told,
            [
                "dataScrubber to True",
                "default_role from member to admin",
                "disable_shared_issues to True",
                "name from Acme to Acme Inc",
                "sensitiveFields to ['a', 'b\\'s']",
                "storeCrashReports to -1",
            ]
        );
        assert_eq!(first.settings.options.len(), 4, "the default is kept too");
        let again = update.apply(&first.organization, &first.settings, at(2));
        assert_eq!(again, None);
        update.options = vec![(named("sensitiveFields"), texts(&[]))];
        let cleared = update.apply(&first.organization, &first.settings, at(3));
        let cleared = cleared.unwrap().told;
        assert_eq!(cleared["sensitiveFields"], "from ['a', 'b\\'s'] to []");
    }

    #[test]
    fn a_default_that_is_written_down_is_kept_and_not_told() {
        let update = OrganizationUpdate {
            options: vec![(named("scrapeJavaScript"), OptionValue::Boolean(true))],
            ..OrganizationUpdate::default()
        };
        let seen = OrganizationSettings::default();
        let change = update.apply(&organization(), &seen, at(1)).unwrap();
        assert!(change.told.is_empty());
        assert_eq!((seen.ver, change.settings.ver), (0, 1));
    }

    #[test]
    fn a_relay_keeps_its_dates_while_it_stays_the_same() {
        let relay = |name: &str, key: char| GivenRelay {
            name: name.into(),
            public_key: String::from(key).repeat(43),
            description: None,
        };
        let set = |relays, seen: &OrganizationSettings, now| {
            let update = OrganizationUpdate {
                trusted_relays: Some(relays),
                ..OrganizationUpdate::default()
            };
            update.apply(&organization(), seen, at(now))
        };
        let first = set(vec![relay("a", 'x')], &OrganizationSettings::default(), 1).unwrap();
        assert!(first.told["trustedRelays"].starts_with("to ['a (xxx"));
        assert_eq!(set(vec![relay("a", 'x')], &first.settings, 2), None);
        let renamed = set(vec![relay("b", 'y'), relay("c", 'x')], &first.settings, 3).unwrap();
        let dates = |it: &TrustedRelay| (it.created.millis(), it.last_modified.millis());
        let dates: Vec<_> = renamed.settings.trusted_relays.iter().map(dates).collect();
        assert_eq!(dates, [(3, 3), (1, 3)]);
        assert!(renamed.told["trustedRelays"].starts_with("from ['a (xxx"));
        let none = set(Vec::new(), &renamed.settings, 4).unwrap();
        assert!(none.settings.trusted_relays.is_empty());
    }

    #[test]
    fn only_what_was_to_be_deleted_is_restored() {
        let update = OrganizationUpdate {
            cancel_deletion: true,
            ..OrganizationUpdate::default()
        };
        let seen = OrganizationSettings::default();
        assert_eq!(update.apply(&organization(), &seen, at(1)), None);
        let doomed = Organization {
            status: OrganizationStatus::PendingDeletion,
            ..organization()
        };
        let change = update.apply(&doomed, &seen, at(1)).unwrap();
        assert!(change.restored);
        assert_eq!(change.organization.status, OrganizationStatus::Active);
    }

    #[test]
    fn an_organization_has_a_slug_of_letters_digits_and_dashes() {
        for good in ["santry", "downtown-canada", "1234-foo", "SaNtRy"] {
            let slug = organization_slug(good).unwrap();
            assert_eq!(slug.as_str(), good.to_ascii_lowercase());
        }
        for bad in [
            "",
            "a",
            "ab",
            "billing",
            "Billing",
            "foo-bar ",
            " foo",
            "downtown_canada",
            "canada-",
            "-canada",
            "----",
            "1234",
            "bird-company!",
            &"s".repeat(51),
        ] {
            assert!(organization_slug(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_selector_names_fields_of_events() {
        for good in [
            "email",
            "**",
            "foo.bar",
            "$string",
            "extra.'my name'.*",
            "(a || b) && !$array",
            "user.'it''s'",
        ] {
            assert!(is_selector(good), "{good}");
        }
        for bad in [
            "", " ", "a b", "a..b", ".", "(a", "a)", "a &&", "!", "''", "$", "a.'", "ü",
        ] {
            assert!(!is_selector(bad), "{bad}");
        }
        assert!(!is_selector(&"(".repeat(100_000)));
        assert!(!is_selector(&"!".repeat(100_000)));
    }

    #[test]
    fn a_document_of_rules_has_rules_and_where_they_apply() {
        for good in [
            "{}",
            r#"{"rules": {"r": {"type": "ip"}}, "applications": {"$string": ["r"]}, "vars": {}}"#,
        ] {
            assert!(is_rule_document(good), "{good}");
        }
        for bad in [
            "[]",
            "x",
            r#"{"rules": []}"#,
            r#"{"rules": {"r": {}}}"#,
            r#"{"applications": {"a b": []}}"#,
            r#"{"applications": {"a": [1]}}"#,
            r#"{"other": 1}"#,
        ] {
            assert!(!is_rule_document(bad), "{bad}");
        }
    }
}
