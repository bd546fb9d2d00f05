//! What a request says about an organization's settings, and how they are shown.

use std::{collections::BTreeSet, ops::RangeInclusive};

use domain::{
    AvatarType, ClientFault, Fault, Feature, GivenRelay, OptionKind, OptionValue, OrganizationFlag,
    OrganizationOption, OrganizationSettings, OrganizationUpdate, Role, Scope, TrustedRelay,
    is_rule_document, is_selector, names, organization_slug,
};
use serde_json::{Map, Value, json};
use store::StoredPicture;

use crate::{
    auth::Seat,
    body::{Fields, Text, truth},
    pictures,
};

/// How many crash reports of an issue may be kept; -1 is all of them.
const CRASH_REPORTS: RangeInclusive<i64> = -1..=100;
const MAX_RELAY_NAME: usize = 255;
/// A document of rules is read with each event; and an item of the table has a limit.
const MAX_RULES: usize = 50_000;
/// What only owners set; of others it is ignored.
const OF_OWNERS: [&str; 3] = ["defaultRole", "cancelDeletion", "idempotencyKey"];
/// What needs sampling of its own, which the bundle does not have.
const SAMPLING: [&str; 2] = ["targetSampleRate", "samplingMode"];

/// What a request wants changed, and the picture that it brings, which is to be stored before.
pub(super) fn read(
    mut fields: Fields,
    seat: &Seat,
    settings: &OrganizationSettings,
) -> Result<(OrganizationUpdate, Option<StoredPicture>), Fault> {
    no_codecov(&mut fields)?;
    let owner = seat.scopes.contains(&Scope::OrgAdmin);
    for field in OF_OWNERS.iter().filter(|_| !owner) {
        fields.raw(field);
    }
    let mut update = OrganizationUpdate {
        name: fields.name("name", names::MAX_NAME),
        slug: slug(&mut fields),
        default_role: fields.choice("defaultRole", |word| word.parse().ok()),
        resolve_commits_on: fields.choice("resolveCommitsOn", |word| word.parse().ok()),
        cancel_deletion: fields.boolean("cancelDeletion").unwrap_or(false),
        ..OrganizationUpdate::default()
    };
    for option in OrganizationOption::ALL {
        if fields.given(option.field) {
            let value = option_value(&mut fields, &option, settings);
            update.options.extend(value.map(|value| (option, value)));
        }
    }
    for flag in OrganizationFlag::ALL {
        let shown = fields.boolean(flag.field);
        update.flags.extend(shown.map(|shown| (flag, shown)));
    }
    let wants_2fa = |(flag, shown): &(OrganizationFlag, bool)| flag.field == "require2FA" && *shown;
    if update.flags.iter().any(wants_2fa) {
        // Nobody has a second factor here: whoever asks for it would lock everybody out.
        let text = "You have to use two-factor authentication yourself before you can require it.";
        fields.refuse("require2FA", text);
    }
    update.trusted_relays = relays(&mut fields, seat);
    for field in SAMPLING {
        if fields.raw(field).is_some() {
            let text = "The organization feature \"dynamic-sampling-custom\" is off.";
            fields.refuse(field, text);
        }
    }
    let picture = pictures::read(&mut fields);
    update.avatar_type = avatar_type(&mut fields, seat, picture.is_some());
    fields.finish((update, picture))
}

/// Before everything else: who has no plan learns that first.
fn no_codecov(fields: &mut Fields) -> Result<(), Fault> {
    // What is no wish for it is said of it with the other fields.
    match fields.peek("codecovAccess").and_then(truth) {
        Some(true) => {
            let text = "Codecov needs a paid plan, which this installation does not have.";
            Err(Fault::Client(ClientFault::Denied(text.into())))
        }
        Some(false) | None => Ok(()),
    }
}

/// Untrimmed: a space is an error.
fn slug(fields: &mut Fields) -> Option<domain::Slug> {
    let text = fields.verbatim("slug")??;
    // Nothing is no wish for a slug.
    if text.is_empty() {
        return None;
    }
    let slug = organization_slug(&text);
    slug.map_err(|message| fields.refuse("slug", message)).ok()
}

fn option_value(
    fields: &mut Fields,
    option: &OrganizationOption,
    settings: &OrganizationSettings,
) -> Option<OptionValue> {
    let name = option.field;
    match option.kind {
        OptionKind::Boolean(_) => fields.boolean(name).map(OptionValue::Boolean),
        OptionKind::LegacyRate { least, most, .. } => {
            if !settings.has_rates() {
                fields.refuse(name, "This organization has no legacy rate limits.");
                return None;
            }
            let rate = fields.integer(name, least..=most)?;
            Some(rate.map_or(OptionValue::Nothing, OptionValue::Number))
        }
        OptionKind::CrashReports => number(fields, name, CRASH_REPORTS),
        OptionKind::Threshold => number(fields, name, 1..=i64::MAX),
        OptionKind::Role(_) => {
            let role: Option<Role> = fields.choice(name, |word| word.parse().ok());
            role.map(|role| OptionValue::Text(role.as_str().to_owned()))
        }
        OptionKind::Fields => {
            let texts = fields.texts(name)?;
            let length: usize = texts.iter().map(|text| text.chars().count()).sum();
            if length > OptionKind::MOST_FIELDS {
                let most = OptionKind::MOST_FIELDS;
                let message =
                    format!("Ensure all of this together has no more than {most} characters.");
                fields.refuse(name, message);
                return None;
            }
            Some(OptionValue::Texts(texts))
        }
        OptionKind::Selectors => {
            let texts = fields.texts(name)?;
            if let Some(bad) = texts.iter().find(|text| !is_selector(text)) {
                let message = format!("\"{bad}\" is not a valid selector.");
                fields.refuse(name, message);
                return None;
            }
            Some(OptionValue::Texts(texts))
        }
        OptionKind::Rules => match fields.text(name, MAX_RULES) {
            Text::Given(text) if is_rule_document(&text) => Some(OptionValue::Text(text)),
            Text::Given(_) => {
                fields.refuse(name, "Not a valid document of rules as JSON.");
                None
            }
            Text::Null | Text::Blank => Some(OptionValue::Nothing),
            Text::Absent | Text::Wrong => None,
        },
    }
}

fn number(fields: &mut Fields, name: &str, range: RangeInclusive<i64>) -> Option<OptionValue> {
    let number = fields.integer(name, range)?;
    if number.is_none() {
        fields.refuse(name, "A valid integer is required.");
    }
    number.map(OptionValue::Number)
}

fn relays(fields: &mut Fields, seat: &Seat) -> Option<Vec<GivenRelay>> {
    if !fields.given("trustedRelays") {
        return None;
    }
    if !seat.organization.has(Feature::Relay) {
        let text = "The organization feature \"relay\" is off.";
        fields.refuse("trustedRelays", text);
        return None;
    }
    let relays = fields.objects("trustedRelays", |item| {
        let name = item.required("name", MAX_RELAY_NAME);
        let key = item.required("publicKey", usize::MAX);
        let description = item.optional("description", MAX_RELAY_NAME);
        let valid = key.as_deref().is_none_or(TrustedRelay::is_key);
        if !valid {
            item.refuse("publicKey", "Not a valid public key of a relay.");
        }
        Some(GivenRelay {
            name: name?,
            public_key: key.filter(|_| valid)?,
            description,
        })
    })?;
    let mut seen = BTreeSet::new();
    let again = relays.iter().find(|it| !seen.insert(&it.public_key));
    if let Some(again) = again {
        let message = format!(
            "There is more than one relay with the key {}.",
            again.public_key
        );
        fields.refuse("trustedRelays", message);
    }
    Some(relays)
}

/// Who brings a picture wants to see it, unless they say otherwise. Null is no wish.
fn avatar_type(fields: &mut Fields, seat: &Seat, brought: bool) -> Option<AvatarType> {
    if !fields.has("avatarType") {
        return brought.then_some(AvatarType::Upload);
    }
    let wanted = fields.choice("avatarType", |word| word.parse().ok())?;
    let there = brought || seat.organization.picture.is_some() || fields.is_refused("avatar");
    if wanted == AvatarType::Upload && !there {
        fields.refuse("avatarType", "There is no uploaded picture to show.");
    }
    Some(wanted)
}

/// All options, flags and relays under the names that clients know.
pub(super) fn shown(seat: &Seat, settings: &OrganizationSettings) -> Map<String, Value> {
    let mut shown = Map::new();
    for option in OrganizationOption::ALL {
        let value = match (settings.option(&option), option.kind) {
            (OptionValue::Boolean(value), _) => json!(value),
            (OptionValue::Number(number), _) => json!(number),
            (OptionValue::Text(text), _) => json!(text),
            (OptionValue::Texts(texts), _) => json!(texts),
            (OptionValue::Nothing, OptionKind::Fields | OptionKind::Selectors) => json!([]),
            (
                OptionValue::Nothing,
                OptionKind::Boolean(_)
                | OptionKind::LegacyRate { .. }
                | OptionKind::CrashReports
                | OptionKind::Role(_)
                | OptionKind::Rules
                | OptionKind::Threshold,
            ) => Value::Null,
        };
        shown.insert(option.field.to_owned(), value);
    }
    for flag in OrganizationFlag::ALL {
        let value = flag.shown(seat.organization.flags);
        shown.insert(flag.field.to_owned(), value.into());
    }
    let relay = |it: &TrustedRelay| {
        json!({
            "name": it.name,
            "publicKey": it.public_key,
            "description": it.description,
            "created": it.created.to_string(),
            "lastModified": it.last_modified.to_string(),
        })
    };
    let relays: Vec<_> = settings.trusted_relays.iter().map(relay).collect();
    shown.insert("trustedRelays".to_owned(), relays.into());
    shown.insert("targetSampleRate".to_owned(), json!(1.0));
    shown.insert("samplingMode".to_owned(), "organization".into());
    let (account, project) = (
        shown["accountRateLimit"].clone(),
        shown["projectRateLimit"].clone(),
    );
    let quota = json!({
        "maxRate": null, "maxRateInterval": 60, "accountLimit": account, "projectLimit": project,
    });
    shown.insert("quota".to_owned(), quota);
    shown
}
