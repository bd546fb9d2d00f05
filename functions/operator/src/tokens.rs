//! API tokens, in the two forms that Sentry's clients recognize.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use domain::{
    ClientFault, Fault, FieldError, Organization, Scope, Secret, Timestamp, Token, TokenOwner,
    UserId,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::TokenHash;

use crate::{
    Context,
    fields::{email, name, organization, unknown_user},
    random_hex,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateToken {
    name: String,
    scopes: Scopes,
    email: Option<String>,
    organization: Option<String>,
}

#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Scopes(Vec<Scope>);

impl TryFrom<Value> for Scopes {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if value == "all" {
            return Ok(Self(Scope::ALL.map(|(scope, _)| scope).to_vec()));
        }
        let scopes: Vec<Scope> = serde_json::from_value(value).map_err(|e| e.to_string())?;
        match scopes.is_empty() {
            true => Err("a token without scopes can do nothing".into()),
            false => Ok(Self(scopes)),
        }
    }
}

pub(crate) async fn create(context: &Context, new: CreateToken) -> Result<Value, Fault> {
    let name = name("name", &new.name)?;
    let wanted = new.scopes.0;
    let now = context.clock.now();
    let owner = owner(context, new.email.as_deref(), new.organization.as_deref()).await?;
    let text = match &owner {
        Owner::User(_) => user_token(),
        Owner::Organization(found) => organization_token(&context.public_url, found, now),
    };
    let token = Token {
        name,
        owner: owner.as_token_owner(),
        scopes: wanted.clone(),
        created: now,
    };
    let saved = context
        .store
        .create_token(&TokenHash::of(text.reveal()), token)
        .await?;
    if !saved.created && !same(&saved.entity.scopes, &wanted) {
        return Err(other_scopes(&saved.entity, &wanted));
    }
    let shown = saved.created.then_some(text);
    let note = match saved.created {
        true => "Keep the token: it is not stored and cannot be shown again.",
        false => "There is a token of this name; its text cannot be shown again.",
    };
    Ok(json!({
        "created": saved.created,
        "token": { "name": saved.entity.name, "scopes": saved.entity.scopes, "text": shown },
        "note": note,
    }))
}

/// Whom a token speaks for, as a command names them.
enum Owner {
    User(UserId),
    Organization(Box<Organization>),
}

impl Owner {
    fn as_token_owner(&self) -> TokenOwner {
        match self {
            Self::User(id) => TokenOwner::User(*id),
            Self::Organization(organization) => TokenOwner::Organization(organization.id),
        }
    }
}

async fn owner(
    context: &Context,
    address: Option<&str>,
    slug: Option<&str>,
) -> Result<Owner, Fault> {
    match (address, slug) {
        (Some(address), None) => {
            let user = context.store.user_by_email(&email(address)?).await?;
            Ok(Owner::User(user.ok_or_else(unknown_user)?.id))
        }
        (None, Some(slug)) => {
            let found = organization(context, slug).await?;
            Ok(Owner::Organization(Box::new(found)))
        }
        (Some(_), Some(_)) | (None, None) => Err(one_owner()),
    }
}

/// Whether they allow the same, in whatever order.
fn same(one: &[Scope], other: &[Scope]) -> bool {
    let within = |a: &[Scope], b: &[Scope]| a.iter().all(|scope| b.contains(scope));
    within(one, other) && within(other, one)
}

/// A token out there would be able to do something else without anybody noticing.
fn other_scopes(found: &Token, wanted: &[Scope]) -> Fault {
    let list = |scopes: &[Scope]| {
        let names: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        names.join(", ")
    };
    let text = format!(
        "There is a token \"{}\" already, with other scopes: it has {}, not {}. End it with \
         revoke-token first, or choose another name.",
        found.name,
        list(&found.scopes),
        list(wanted)
    );
    Fault::field("scopes", text)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListTokens {
    email: Option<String>,
    organization: Option<String>,
}

pub(crate) async fn list(context: &Context, of: ListTokens) -> Result<Value, Fault> {
    let owner = owner(context, of.email.as_deref(), of.organization.as_deref()).await?;
    let mut tokens = context.store.tokens_of(owner.as_token_owner()).await?;
    tokens.sort_by(|a, b| a.name.cmp(&b.name));
    let shown = |token: &Token| {
        json!({
            "name": token.name, "scopes": token.scopes, "created": token.created.to_string(),
        })
    };
    let tokens: Vec<_> = tokens.iter().map(shown).collect();
    Ok(json!({ "tokens": tokens }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeToken {
    name: String,
    email: Option<String>,
    organization: Option<String>,
}

pub(crate) async fn revoke(context: &Context, old: RevokeToken) -> Result<Value, Fault> {
    let name = name("name", &old.name)?;
    let owner = owner(context, old.email.as_deref(), old.organization.as_deref()).await?;
    let store = &context.store;
    let revoked = store.revoke_token(owner.as_token_owner(), &name).await?;
    Ok(json!({ "revoked": revoked, "token": { "name": name } }))
}

fn one_owner() -> Fault {
    let text = || FieldError::message("Exactly one of email and organization is required.");
    let fields = [
        ("email".to_owned(), text()),
        ("organization".to_owned(), text()),
    ];
    Fault::Client(ClientFault::Fields(fields.into()))
}

fn user_token() -> Secret {
    let random: [u8; 32] = rand::random();
    Secret::new(format!("sntryu_{}", random_hex(&random).reveal()))
}

/// Clients take the server and the organization from the token itself.
fn organization_token(public_url: &str, organization: &Organization, now: Timestamp) -> Secret {
    let random: [u8; 32] = rand::random();
    let facts = json!({
        "iat": now.seconds(), "url": public_url, "region_url": public_url,
        "org": organization.slug,
    });
    let facts = STANDARD.encode(facts.to_string());
    Secret::new(format!("sntrys_{facts}_{}", STANDARD_NO_PAD.encode(random)))
}
