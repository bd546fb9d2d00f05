//! Tells of a deploy: a line in the activity of each project of its release, and a mail to whom it concerns.
//!
//! It concerns the members who can see one of its projects and want to hear of it: unless they said otherwise,
//! those whose commits are in the release. While the commits are being fetched nobody knows who that is: then the
//! deploy waits for the fetch, which sends the same message once more at its end, with whatever result. A host can
//! be away for longer than people want to wait, so a deploy is told of in any case after a time that is longer
//! than a commit is waited for.

use std::collections::HashSet;

use domain::{
    Email, Envelope, Fault, MOST_RECIPIENTS, Mail, MailKey, Member, Message, NotificationSettings,
    NotificationType, NotifyDeploy, Readiness, Recipients, Release, SendEmail, UserId,
};

use crate::Context;

/// How long a deploy waits for the commits of its release, in milliseconds.
const PATIENCE: i64 = 2 * 60 * 60 * 1000;
/// The most messages of one deploy. Whom they do not reach finds it in the activity.
const MOST_MAILS: usize = 8;

pub(crate) async fn notify(
    context: &Context,
    notify: &NotifyDeploy,
    envelope: &Envelope,
) -> Result<(), Fault> {
    let store = &context.store;
    let deploy = store.deploy(notify.release, notify.deploy).await?;
    let release = store.release(notify.organization, &notify.version).await?;
    let release = release.filter(|release| release.id == notify.release);
    let (Some(deploy), Some(release)) = (deploy, release) else {
        tracing::info!("the deploy is gone");
        return Ok(());
    };
    match deploy.readiness(&release, notify.fetch_complete) {
        Readiness::Told | Readiness::Nobody => return Ok(()),
        Readiness::Waiting => {
            let message = Message::NotifyDeploy(NotifyDeploy {
                fetch_complete: true,
                ..notify.clone()
            });
            let later = Envelope {
                message,
                ..envelope.clone()
            };
            let due = envelope.id.minted().plus(PATIENCE);
            return Ok(store.outbox_put_off(&later, due).await?);
        }
        Readiness::Ready => {}
    }
    let people = concerned(context, &release).await?;
    let mail = |users: &[UserId], committed: bool| SendEmail {
        organization: release.organization,
        // Whoever got it in one message does not get it in another: there is one key for all.
        key: MailKey::new(format!("deploy/{}", deploy.id)),
        to: Recipients::Users(users.to_vec()),
        mail: Mail::Deployed {
            release: release.id,
            version: release.version.clone(),
            deploy: deploy.id,
            committed,
        },
        attempts: 0,
    };
    let committers = people.committers.chunks(MOST_RECIPIENTS);
    let others = people.others.chunks(MOST_RECIPIENTS);
    let mails = committers.map(|users| mail(users, true));
    let mails = mails.chain(others.map(|users| mail(users, false)));
    let mails = mails.take(MOST_MAILS).collect();
    let now = context.clock.now();
    let told = store.tell_of_deploy(&release, &deploy, mails, &envelope.trace, now);
    if told.await? {
        tracing::info!(
            deploy.id = deploy.id.number(),
            people = people.committers.len() + people.others.len(),
            "the deploy is told of"
        );
    }
    Ok(())
}

/// Those who hear of a deploy, in the order of their ids.
struct People {
    /// Whose commits are in the release.
    committers: Vec<UserId>,
    /// Who want to hear of every deploy.
    others: Vec<UserId>,
}

async fn concerned(context: &Context, release: &Release) -> Result<People, Fault> {
    let (store, organization) = (&context.store, release.organization);
    let ids: Vec<_> = release.projects.iter().copied().collect();
    let projects = store.projects_by_id(&ids).await?;
    let mut members = store.all_members(organization).await?;
    members.retain(|member| projects.iter().any(|project| project.admits(member)));
    let committed = committers(context, release).await?;
    let settings = settings(context, release, &members).await?;
    members.retain(|member| {
        settings.hears_of_deploy(member, &projects, committed.contains(&member.user))
    });
    let ids: Vec<_> = members.iter().map(|member| member.user).collect();
    let mut people = store.users(&ids).await?;
    // Nobody is told at an address that may be another one's.
    people.retain(|user| user.active && user.verified);
    let mut people: Vec<_> = people.iter().map(|user| user.id).collect();
    people.sort();
    let (committers, others) = people
        .into_iter()
        .partition(|user| committed.contains(user));
    Ok(People { committers, others })
}

/// The members whose commits are in the release.
async fn committers(context: &Context, release: &Release) -> Result<HashSet<UserId>, Fault> {
    let authors = release.authors().into_iter();
    let authors: Vec<Email> = authors.filter_map(|author| author.parse().ok()).collect();
    let found = context
        .store
        .members_with_addresses(release.organization, &authors);
    let found = found.await?.into_iter();
    Ok(found.map(|(user, _)| user.id).collect())
}

/// What members said of deploys of the release's projects.
async fn settings(
    context: &Context,
    release: &Release,
    members: &[Member],
) -> Result<NotificationSettings, Fault> {
    let (store, deploy) = (&context.store, NotificationType::Deploy);
    let projects: Vec<_> = release.projects.iter().copied().collect();
    let users: Vec<_> = members.iter().map(|member| member.user).collect();
    let about = store.notification_settings_about(deploy, release.organization, &projects);
    let general = store.general_notification_settings(deploy, &users);
    Ok(about.await?.into_iter().chain(general.await?).collect())
}
