//! Releases, commits, deploys and repositories as clients read them.

use axum::http::StatusCode;
use domain::{
    CommitAuthor, Deploy, Fault, Project, ProjectId, ProjectStatus, Release, Repository,
    RepositoryProvider, Semver, Version,
};
use runtime::Answer;
use serde_json::{Value, json};
use store::{CommitView, ReleaseDetails};

use crate::{Context, auth::Seat, issues::person};

/// Releases of one organization, each with everything that is shown of it.
pub(super) async fn releases(
    context: &Context,
    seat: &Seat,
    releases: &[Release],
) -> Result<Vec<Value>, Fault> {
    let organization = seat.organization.id;
    let details = context
        .store
        .release_details(organization, releases)
        .await?;
    Ok(releases.iter().map(|it| release(it, &details)).collect())
}

/// One release with everything that is shown of it.
pub(super) async fn one(
    context: &Context,
    seat: &Seat,
    release: &Release,
    status: StatusCode,
) -> Answer {
    let shown = releases(context, seat, std::slice::from_ref(release)).await?;
    Ok(runtime::json(status, &shown[0]))
}

/// The same release once for each of these projects that uses it, with that project alone.
pub(super) fn flatten(shown: &Value, projects: &[ProjectId]) -> Vec<Value> {
    let own = shown["projects"].as_array().into_iter().flatten();
    let wanted = own.filter(|project| {
        let id = project["id"].as_str().and_then(|id| id.parse().ok());
        id.is_some_and(|id: ProjectId| projects.contains(&id))
    });
    wanted
        .map(|project| {
            let mut row = shown.clone();
            row["projects"] = json!([project]);
            row
        })
        .collect()
}

fn release(release: &Release, details: &ReleaseDetails) -> Value {
    let active = |project: &&Project| project.status == ProjectStatus::Active;
    let projects = release
        .projects
        .iter()
        .filter_map(|id| details.projects.get(id))
        .filter(active)
        .map(project);
    let projects: Vec<_> = projects.collect();
    let author = author_of(details);
    let authors: Vec<_> = release.authors().into_iter().filter_map(&author).collect();
    let last_commit = release.last_commit().map(|last| {
        let known = details.commits.get(&last);
        let email = known.and_then(|commit| commit.author.as_deref());
        json!({
            "id": last.sha,
            "message": known.and_then(|commit| commit.message.as_ref()),
            "dateCreated": known.map_or(release.created, |commit| commit.date).to_string(),
            "author": email.and_then(&author),
        })
    });
    let last_deploy = release
        .last_deploy
        .and_then(|id| details.deploys.get(&id))
        .map(deploy);
    json!({
        "id": release.id,
        "version": release.version.as_str(),
        "shortVersion": release.version.as_str(),
        "versionInfo": version_info(&release.version),
        "status": release.status.as_str(),
        "ref": release.reference,
        "url": release.url,
        "dateCreated": release.created.to_string(),
        "dateReleased": release.released.map(|at| at.to_string()),
        "data": {},
        "newGroups": 0,
        "owner": release.owner.and_then(|id| details.owners.get(&id)).map(person),
        "commitCount": release.commit_count(),
        "lastCommit": last_commit,
        "deployCount": release.total_deploys,
        "lastDeploy": last_deploy,
        "authors": authors,
        "projects": projects,
        "firstEvent": null,
        "lastEvent": null,
        "userAgent": release.user_agent,
        "currentProjectMeta": {},
    })
}

fn author_of(details: &ReleaseDetails) -> impl Fn(&str) -> Option<Value> {
    |email| match (details.people.get(email), details.authors.get(email)) {
        (Some(user), _) => Some(person(user)),
        (None, Some(author)) => Some(named(author)),
        (None, None) => None,
    }
}

fn named(author: &CommitAuthor) -> Value {
    json!({ "name": author.name, "email": author.email })
}

fn project(project: &Project) -> Value {
    let platforms: Vec<_> = project.platform.iter().collect();
    json!({
        "id": project.id,
        "slug": project.slug,
        "name": project.name,
        "newGroups": 0,
        "platform": project.platform,
        "platforms": platforms,
        "hasHealthData": false,
    })
}

fn version_info(version: &Version) -> Value {
    json!({
        "package": version.package(),
        "version": numbers(version),
        "description": version.description(),
        "buildHash": version.build_hash(),
    })
}

fn numbers(version: &Version) -> Value {
    let raw = version.raw();
    let Some(Semver {
        numbers: [major, minor, patch, _],
        components,
        prerelease,
        build_code,
        ..
    }) = version
        .semver()
        .filter(|_| version.build_hash() != Some(raw))
    else {
        return json!({ "raw": raw });
    };
    let prerelease = Some(prerelease).filter(|text| !text.is_empty());
    json!({
        "raw": raw,
        "major": major,
        "minor": minor,
        "patch": patch,
        "pre": prerelease,
        "buildCode": build_code,
        "components": components,
    })
}

pub(super) fn commit(release: &Release, view: &CommitView) -> Value {
    let author = match (&view.person, &view.author) {
        (Some(user), _) => Some(person(user)),
        (None, author) => author.as_ref().map(named),
    };
    let known = view.known.as_ref();
    json!({
        "id": view.commit.sha,
        "message": known.and_then(|commit| commit.message.as_ref()),
        "dateCreated": known.map_or(release.created, |commit| commit.date).to_string(),
        "author": author,
        "repository": view.repository.as_ref().map(repository),
    })
}

pub(super) fn deploy(deploy: &Deploy) -> Value {
    json!({
        "id": deploy.id,
        "environment": deploy.environment.as_str(),
        "dateStarted": deploy.started.map(|at| at.to_string()),
        "dateFinished": deploy.finished.to_string(),
        "name": deploy.name,
        "url": deploy.url,
    })
}

pub(super) fn repository(repository: &Repository) -> Value {
    let provider = match repository.provider {
        Some(provider) => json!({ "id": provider.as_str(), "name": provider.name() }),
        None => json!({ "id": "unknown", "name": "Unknown Provider" }),
    };
    let slug = match repository.provider {
        Some(RepositoryProvider::AzureDevOps) => repository.external_id.as_deref(),
        Some(
            RepositoryProvider::Git
            | RepositoryProvider::GitHub
            | RepositoryProvider::GitLab
            | RepositoryProvider::Bitbucket,
        ) => Some(repository.name.as_str()),
        None => None,
    };
    json!({
        "id": repository.id,
        "name": repository.name.as_str(),
        "url": repository.url,
        "provider": provider,
        "status": "active",
        "dateCreated": repository.created.to_string(),
        "integrationId": repository.integration,
        "externalSlug": slug,
        "externalId": repository.external_id,
    })
}
