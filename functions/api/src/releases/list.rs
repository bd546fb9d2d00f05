//! Reading releases: lists of them, one of them, and its commits.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use domain::{
    EnvironmentName, Fault, Project, ProjectId, Release, ReleaseQuery, ReleaseStatus, Timestamp,
    Version,
};
use runtime::{Answer, json};
use serde_json::json;
use store::{Order, Page, ReleaseFilter};

use super::{Place, RELEASE_READ, Segments, may_use, patiently, show};
use crate::{Context, cursor::Paging};

/// The parameters of a query, in their order.
pub(crate) type Pairs = Vec<(String, String)>;

/// More projects than an organization has.
const ALL_PROJECTS: usize = 10_000;

/// Orders that need what is not known of releases: how their sessions went.
const HEALTH_SORTS: [&str; 6] = [
    "crash_free_sessions",
    "crash_free_users",
    "sessions",
    "users",
    "sessions_24h",
    "users_24h",
];

fn first<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

fn all<'a>(pairs: &'a Pairs, name: &'a str) -> impl Iterator<Item = &'a str> {
    let own = pairs.iter().filter(move |(known, _)| known == name);
    own.map(|(_, value)| value.as_str())
}

/// `GET .../releases/`
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    Query(pairs): Query<Pairs>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    patiently(|| async {
        let place = Place::find(&context, (&headers, &uri), &segments, &RELEASE_READ).await?;
        let paging = Paging::of(&uri)?;
        match &place.project {
            Some(project) => of_project(&context, &place, project, &pairs, &paging).await,
            None => of_organization(&context, &place, &pairs, &paging).await,
        }
    })
    .await
}

async fn of_project(
    context: &Context,
    place: &Place,
    project: &Project,
    pairs: &Pairs,
    paging: &Paging,
) -> Answer {
    let filter = ReleaseFilter {
        query: ReleaseQuery::containing(first(pairs, "query").unwrap_or_default()),
        status: Some(ReleaseStatus::Open),
    };
    // An environment that nobody knows has no releases; here that is no error.
    let environment: Option<Option<EnvironmentName>> =
        first(pairs, "environment").map(|name| name.parse().ok());
    let keep = |release: &Release| match &environment {
        None => true,
        Some(name) => name
            .as_ref()
            .is_some_and(|name| release.environments.contains(name)),
    };
    let page = context
        .store
        .releases_of_project(project, &filter, keep, paging.skip, paging.limit)
        .await?;
    answer(context, place, &page, paging).await
}

async fn of_organization(
    context: &Context,
    place: &Place,
    pairs: &Pairs,
    paging: &Paging,
) -> Answer {
    let flat = first(pairs, "flatten") == Some("1");
    let (order, only_builds) = order(first(pairs, "sort"), flat)?;
    let filter = ReleaseFilter {
        query: first(pairs, "query")
            .unwrap_or_default()
            .parse()
            .map_err(|error: domain::InvalidQuery| Fault::detail(error.to_string()))?,
        status: status(pairs)?,
    };
    let (from, to) = period(context, pairs)?;
    let organization = place.seat.organization.id;
    let environments: Vec<EnvironmentName> = all(pairs, "environment")
        .map(|name| name.parse().map_err(|_| Fault::not_found()))
        .collect::<Result<_, _>>()?;
    let known = context
        .store
        .environments(organization, &environments)
        .await?;
    if environments.iter().any(|name| !known.contains(name)) {
        return Err(Fault::not_found().into());
    }
    let projects = context
        .store
        .projects(organization, 0, ALL_PROJECTS)
        .await?;
    let usable: Vec<_> = projects
        .rows
        .into_iter()
        .filter(|project| may_use(&place.seat, project))
        .collect();
    let wanted = match wanted_projects(pairs, &usable)? {
        Ok(wanted) => wanted,
        Err(answer) => return Ok(answer),
    };
    if wanted.is_empty() {
        let none = Page {
            rows: Vec::new(),
            more: false,
        };
        return answer(context, place, &none, paging).await;
    }
    let keep = |release: &Release| {
        let deployed = |name| release.environments.contains(name);
        !release.projects.is_disjoint(&wanted)
            && from.is_none_or(|from| release.created >= from)
            && to.is_none_or(|to| release.created <= to)
            && (environments.is_empty() || environments.iter().any(deployed))
            && (!only_builds || release.version.build_number().is_some())
    };
    let page = context
        .store
        .releases_of_organization(
            organization,
            &filter,
            order,
            keep,
            paging.skip,
            paging.limit,
        )
        .await?;
    if !flat {
        return answer(context, place, &page, paging).await;
    }
    let wanted: Vec<_> = wanted.into_iter().collect();
    let shown = show::releases(context, &place.seat, &page.rows).await?;
    let rows = shown.iter().flat_map(|row| show::flatten(row, &wanted));
    let body = json(StatusCode::OK, &rows.collect::<Vec<_>>());
    Ok(paging.link(context, page.more, body))
}

async fn answer(context: &Context, place: &Place, page: &Page<Release>, paging: &Paging) -> Answer {
    let body = show::releases(context, &place.seat, &page.rows).await?;
    Ok(paging.link(context, page.more, json(StatusCode::OK, &body)))
}

/// The order of the versions, `None` for that of the dates, and whether only builds with a number are
/// wanted. Nothing is known of sessions and adoption, so all releases are equal in those orders.
fn order(sort: Option<&str>, flat: bool) -> Result<(Option<Order>, bool), Fault> {
    match sort {
        None | Some("" | "date" | "adoption") => Ok((None, false)),
        Some("semver") => Ok((Some(Version::newer_first), false)),
        Some("build") => Ok((Some(Version::later_build_first), true)),
        Some(health) if HEALTH_SORTS.contains(&health) && flat => Ok((None, false)),
        Some(health) if HEALTH_SORTS.contains(&health) => {
            Err(Fault::detail("sorting by health needs flatten=1"))
        }
        Some(other) => Err(Fault::detail(format!("invalid sort: {other}"))),
    }
}

fn status(pairs: &Pairs) -> Result<Option<ReleaseStatus>, Fault> {
    match first(pairs, "status") {
        None => Ok(Some(ReleaseStatus::Open)),
        Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(status) => Ok(Some(status)),
            Err(()) => Err(Fault::detail(format!("invalid status: {text}"))),
        },
    }
}

/// The first and the last moment that a list is about: at which a release may have become known, say.
pub(crate) fn period(
    context: &Context,
    pairs: &Pairs,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Fault> {
    if let Some(text) = first(pairs, "statsPeriod").filter(|text| !text.is_empty()) {
        let now = context.clock.now();
        let length = millis(text).ok_or_else(|| Fault::detail("Invalid statsPeriod"))?;
        return Ok((Some(now.plus(-length)), None));
    }
    let date = |name: &str| match first(pairs, name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match Timestamp::parse(text) {
            Some(date) => Ok(Some(date)),
            None => Err(Fault::detail(format!(
                "{name}: {text} is not a valid ISO8601 date query"
            ))),
        },
    };
    Ok((date("start")?, date("end")?))
}

/// A length like `14d`.
fn millis(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.len() - text.chars().last()?.len_utf8());
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = digits.then(|| number.parse().ok()).flatten()?;
    number.checked_mul(unit)
}

/// The projects that the parameter `project` names, all that the caller may use by default and for -1. The
/// answer to a request for one that they may not.
pub(crate) fn wanted_projects(
    pairs: &Pairs,
    usable: &[Project],
) -> Result<Result<BTreeSet<ProjectId>, Response>, Fault> {
    let usable: BTreeSet<_> = usable.iter().map(|project| project.id).collect();
    let mut wanted = BTreeSet::new();
    let mut everything = true;
    for text in all(pairs, "project") {
        let number: i64 = text
            .parse()
            .map_err(|_| Fault::detail("Invalid project parameter. Values must be numbers."))?;
        if number == -1 {
            return Ok(Ok(usable));
        }
        everything = false;
        match text.parse().ok().filter(|id| usable.contains(id)) {
            Some(id) => wanted.insert(id),
            None => {
                let detail = "You do not have permission to perform this action.";
                let body = json!({ "detail": detail });
                return Ok(Err(json(StatusCode::FORBIDDEN, &body)));
            }
        };
    }
    Ok(Ok(if everything { usable } else { wanted }))
}

/// `GET .../releases/{version}/`
pub(super) async fn details(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    Query(pairs): Query<Pairs>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    patiently(|| async {
        let at = (&headers, &uri);
        let (place, release, _) = Place::release_at(&context, at, &segments, &RELEASE_READ).await?;
        let sort = first(&pairs, "sort").unwrap_or("date");
        if place.project.is_none() && sort != "date" {
            return Err(Fault::detail("invalid sort").into());
        }
        show::one(&context, &place.seat, &release, StatusCode::OK).await
    })
    .await
}

/// `GET .../releases/{version}/commits/`, the newest first.
pub(super) async fn commits(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    patiently(|| async {
        let at = (&headers, &uri);
        let (_, release, _) = Place::release_at(&context, at, &segments, &RELEASE_READ).await?;
        let paging = Paging::of(&uri)?;
        let page = context
            .store
            .release_commits(&release, paging.skip, paging.limit)
            .await?
            .ok_or_else(Fault::not_found)?;
        let rows = page.rows.iter().map(|view| show::commit(&release, view));
        let body = json(StatusCode::OK, &rows.collect::<Vec<_>>());
        Ok(paging.link(&context, page.more, body))
    })
    .await
}

/// `GET .../releases/{version}/previous-with-commits/`: the release before this one that has commits. An
/// empty object where there is none.
pub(super) async fn previous_with_commits(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    patiently(|| async {
        let at = (&headers, &uri);
        let (place, release, projects) =
            Place::release_at(&context, at, &segments, &RELEASE_READ).await?;
        let before = |other: &Release| {
            !other.lists.is_empty() && (other.created, other.id) < (release.created, release.id)
        };
        let mut newest: Option<Release> = None;
        for project in projects.iter().filter(|it| place.uses(it)) {
            let found = context.store.newest_release(project, before).await?;
            newest = newest
                .into_iter()
                .chain(found)
                .max_by_key(|release| (release.date(), release.id));
        }
        match newest {
            Some(newest) => show::one(&context, &place.seat, &newest, StatusCode::OK).await,
            None => Ok(json(StatusCode::OK, &json!({}))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn a_period_is_a_number_of_units() {
        assert_eq!(millis("14d"), Some(1_209_600_000));
        assert_eq!(millis("90s"), Some(90_000));
        for bad in ["", "d", "14", "-1d", "14y", "1é", "99999999999999999w"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }
}
