//! The repositories that clients choose from when they name commits.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::Scope;
use runtime::{Answer, json};

use super::{Place, RELEASE_READ, Segments, patiently, show};
use crate::{Context, auth::ORGANIZATION_READ, cursor::Paging};

/// `GET /organizations/{organization}/repos/`: those that have a provider and a URL. Clients choose among
/// them, and give up where one of many has none.
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    patiently(|| page(&context, &segments, &headers, &uri)).await
}

async fn page(context: &Context, segments: &Segments, headers: &HeaderMap, uri: &Uri) -> Answer {
    // The first call of every `set-commits`, so whoever may write releases may read them.
    let own = [Scope::OrgIntegrations];
    let scopes = [&ORGANIZATION_READ[..], &own, &RELEASE_READ].concat();
    let place = Place::find(context, (headers, uri), segments, &scopes).await?;
    let paging = Paging::of(uri)?;
    let organization = place.seat.organization.id;
    let page = context
        .store
        .repositories(organization, paging.skip, paging.limit)
        .await?;
    let body: Vec<_> = page.rows.iter().map(show::repository).collect();
    Ok(paging.link(context, page.more, json(StatusCode::OK, &body)))
}
