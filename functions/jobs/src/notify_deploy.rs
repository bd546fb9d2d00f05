//! Tells of a deploy: a line in the activity of each project of its release, and a mail to whom it concerns.
//!
//! It concerns the people whose commits are in the release, if they can see one of its projects. While the
//! commits are being fetched nobody knows who that is: then the deploy waits for the fetch, which sends the same
//! message once more at its end, with whatever result. A host can be away for longer than people want to wait,
//! so a deploy is told of in any case after a time that is longer than a commit is waited for.

use domain::{
    Email, Envelope, Fault, MOST_RECIPIENTS, Mail, MailKey, Member, Message, NotifyDeploy,
    Readiness, Recipients, Release, SendEmail, UserId,
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
    let mail = |users: &[UserId]| SendEmail {
        organization: release.organization,
        // Whoever got it in one message does not get it in another: there is one key for all.
        key: MailKey::new(format!("deploy/{}", deploy.id)),
        to: Recipients::Users(users.to_vec()),
        mail: Mail::Deployed {
            release: release.id,
            version: release.version.clone(),
            deploy: deploy.id,
        },
        attempts: 0,
    };
    let mails = people.chunks(MOST_RECIPIENTS).take(MOST_MAILS);
    let mails = mails.map(mail).collect();
    let now = context.clock.now();
    let told = store.tell_of_deploy(&release, &deploy, mails, &envelope.trace, now);
    if told.await? {
        tracing::info!(
            deploy.id = deploy.id.number(),
            people = people.len(),
            "the deploy is told of"
        );
    }
    Ok(())
}

/// Those whose commits are in the release and who can see one of its projects, in the order of their ids.
async fn concerned(context: &Context, release: &Release) -> Result<Vec<UserId>, Fault> {
    let store = &context.store;
    let authors = release.authors().into_iter();
    let authors: Vec<Email> = authors.filter_map(|author| author.parse().ok()).collect();
    if authors.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = release.projects.iter().copied().collect();
    let projects = store.projects_by_id(&ids).await?;
    let members = store
        .members_with_addresses(release.organization, &authors)
        .await?;
    let sees = |member: &Member| projects.iter().any(|project| project.admits(member));
    let people = members.into_iter().filter(|(_, member)| sees(member));
    let mut people: Vec<_> = people.map(|(user, _)| user.id).collect();
    people.sort();
    Ok(people)
}
