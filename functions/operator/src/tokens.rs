//! API tokens, in the two forms that Sentry's clients recognize.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use domain::{
    ClientFault, Fault, FieldError, Organization, Scope, Secret, Timestamp, Token, TokenOwner,
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
    let now = context.clock.now();
    let (owner, text) = match (&new.email, &new.organization) {
        (Some(address), None) => {
            let user = context.store.user_by_email(&email(address)?).await?;
            let user = user.ok_or_else(unknown_user)?;
            (TokenOwner::User(user.id), user_token())
        }
        (None, Some(slug)) => {
            let organization = organization(context, slug).await?;
            let text = organization_token(&context.public_url, &organization, now);
            (TokenOwner::Organization(organization.id), text)
        }
        (Some(_), Some(_)) | (None, None) => return Err(one_owner()),
    };
    let token = Token {
        name,
        owner,
        scopes: new.scopes.0,
        created: now,
    };
    let saved = context
        .store
        .create_token(&TokenHash::of(text.reveal()), token)
        .await?;
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
