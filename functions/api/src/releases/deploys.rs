//! Deploys of a release.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{ClientFault, Deploy, DeployId, Fault, Project, ProjectId, Release, TraceId};
use runtime::{Answer, json, trace_of};

use super::{
    Incoming, Place, ProjectName, RELEASE_READ, RELEASE_WRITE, Segments,
    fields::NewDeploy,
    list::{Pairs, wanted_projects},
    patiently, projects_named, show,
};
use crate::{Context, cursor::Paging};

/// `GET .../deploys/`: the last deploy of each project to each environment.
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    Query(pairs): Query<Pairs>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    patiently(|| page(&context, &segments, &pairs, &headers, &uri)).await
}

async fn page(
    context: &Context,
    segments: &Segments,
    pairs: &Pairs,
    headers: &HeaderMap,
    uri: &Uri,
) -> Answer {
    let place = Place::find(context, (headers, uri), segments, &RELEASE_READ).await?;
    let (release, projects) = place.release(context, segments).await?;
    let paging = Paging::of(uri)?;
    let usable: Vec<_> = projects
        .into_iter()
        .filter(|project| place.uses(project))
        .collect();
    let wanted = match wanted_projects(pairs, &usable)? {
        Ok(wanted) => wanted,
        Err(answer) => return Ok(answer),
    };
    let deploys = context.store.last_deploys(&release, &wanted).await?;
    let more = deploys.len() > paging.skip + paging.limit;
    let rows = deploys.iter().skip(paging.skip).take(paging.limit);
    let body: Vec<_> = rows.map(show::deploy).collect();
    Ok(paging.link(context, more, json(StatusCode::OK, &body)))
}

/// `POST .../deploys/`: every report of a deploy makes one.
pub(super) async fn create(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    request: Request,
) -> Answer {
    let trace = trace_of(&request);
    let request = Incoming::read(request).await?;
    // Carried out again, it is the same deploy.
    let id = DeployId::timed(context.clock.now(), rand::random());
    patiently(|| add(&context, &segments, &request, id, &trace)).await
}

async fn add(
    context: &Context,
    segments: &Segments,
    request: &Incoming,
    id: DeployId,
    trace: &TraceId,
) -> Answer {
    let place = Place::find(context, request.place(), segments, &RELEASE_WRITE).await?;
    let (release, projects) = place.release(context, segments).await?;
    let new = NewDeploy::parse(request.fields()?)?;
    let chosen = match &new.projects {
        None => release.projects.clone(),
        Some(names) => chosen(context, &place, &release, names, &projects).await?,
    };
    let deploy = Deploy {
        id,
        environment: new.environment,
        name: new.name,
        url: new.url,
        started: new.started,
        finished: new.finished.unwrap_or_else(|| context.clock.now()),
        projects: chosen,
        notified: false,
    };
    let now = context.clock.now();
    let added = context.store.create_deploy(&release, &deploy, trace, now);
    added.await?.ok_or_else(Fault::not_found)?;
    Ok(json(StatusCode::CREATED, &show::deploy(&deploy)))
}

/// The projects that a deploy names; all of them have to be the release's.
async fn chosen(
    context: &Context,
    place: &Place,
    release: &Release,
    names: &[ProjectName],
    projects: &[Project],
) -> Result<BTreeSet<ProjectId>, Fault> {
    let found = projects_named(context, &place.seat, names).await?;
    let own = |project: &Project| projects.iter().any(|known| known.id == project.id);
    let (mut chosen, mut foreign) = (BTreeSet::new(), Vec::new());
    for (name, project) in names.iter().zip(found) {
        match project.filter(own) {
            Some(project) => {
                chosen.insert(project.id);
            }
            None => foreign.push(name.to_string()),
        }
    }
    if foreign.is_empty() {
        return Ok(chosen);
    }
    let (foreign, version) = (foreign.join(", "), &release.version);
    let message = format!("Invalid projects ({foreign}) for release {version}");
    Err(Fault::Client(ClientFault::Parameter(message)))
}
