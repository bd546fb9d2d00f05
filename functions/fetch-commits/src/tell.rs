//! Who hears of what: of a repository's trouble once for each cause, and once when it is over.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Fault, FetchAnswer, FetchCause, FetchEnd, IdentityUse, Mail, MailKey, Message, Provider,
    Recipients, SendEmail, Timestamp, UserId,
};
use store::{FetchWork, ToldOf};

use crate::{Context, fetch::Asked};

/// What is written and sent together with the end of a round.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Who has been told of what now; `None`: as before.
    pub(crate) told: Option<BTreeMap<FetchCause, ToldOf>>,
    pub(crate) mails: Vec<Message>,
    /// Whether the identity's owner is told that it is of no use any more.
    pub(crate) forget_identity: bool,
}

/// Decides who is told. Whoever asked hears of it, the owners of the organization of what a token of its own
/// asked for, and of an identity that is refused the person whose it is.
pub(crate) async fn tell(
    context: &Context,
    work: &FetchWork,
    asked: &Asked,
    end: &FetchEnd,
    now: Timestamp,
) -> Result<Told, Fault> {
    let before = &work.trouble.told;
    if asked.answer == FetchAnswer::Commits {
        return Ok(healed(work));
    }
    let cause = match end {
        FetchEnd::Again { tell, .. } | FetchEnd::Over { tell } => *tell,
    };
    let Some(cause) = cause else {
        return Ok(Told::default());
    };
    let mut told = before.clone();
    if let Some(known) = told.get_mut(&cause) {
        known.failures += 1;
        return Ok(Told {
            told: Some(told),
            ..Told::default()
        });
    }
    let owner = match cause {
        FetchCause::Credentials => owner(context, work).await?,
        FetchCause::Repository
        | FetchCause::Commit
        | FetchCause::Unavailable
        | FetchCause::Refused
        | FetchCause::Integration
        | FetchCause::TooManyRepositories
        | FetchCause::Internal => None,
    };
    let forget_identity = owner.is_some();
    let (user, mail) = match owner {
        // They were told when it was refused, and nobody has given a new one.
        Some((_, None)) => return Ok(Told::default()),
        Some((owner, Some(mail))) => (Some(owner), mail),
        None => match unable(work, asked, cause) {
            Some(mail) => (work.fetch.user, mail),
            None => return Ok(Told::default()),
        },
    };
    let to = match user {
        Some(user) => Recipients::Users(vec![user]),
        None => Recipients::Owners,
    };
    let new = ToldOf {
        user,
        since: now,
        failures: 1,
    };
    told.insert(cause, new);
    Ok(Told {
        told: Some(told),
        mails: vec![message(work, to, mail)],
        forget_identity,
    })
}

/// Whoever was told of trouble is told that it is over.
fn healed(work: &FetchWork) -> Told {
    let before = work.trouble.told.values();
    let since = before.clone().map(|told| told.since).min();
    let (Some(since), Some(repository)) = (since, &work.repository) else {
        return Told::default();
    };
    let told: BTreeSet<_> = before.clone().map(|told| told.user).collect();
    let people: Vec<_> = told.iter().flatten().copied().collect();
    let people = (!people.is_empty()).then_some(Recipients::Users(people));
    let owners = told.contains(&None).then_some(Recipients::Owners);
    let mail = Mail::FetchingHealed {
        repository: repository.id,
        name: repository.name.clone(),
        since,
        failures: before.map(|told| told.failures).sum(),
    };
    Told {
        told: Some(BTreeMap::new()),
        // Whoever is told by both gets one: it is the same mail.
        mails: people
            .into_iter()
            .chain(owners)
            .map(|to| message(work, to, mail.clone()))
            .collect(),
        forget_identity: false,
    }
}

/// What whoever asked is told. What a host said is left out where it may be anything.
fn unable(work: &FetchWork, asked: &Asked, cause: FetchCause) -> Option<Mail> {
    let repository = work.repository.as_ref()?;
    let said = match cause {
        FetchCause::Credentials
        | FetchCause::Repository
        | FetchCause::Commit
        | FetchCause::Refused
        | FetchCause::Integration
        | FetchCause::TooManyRepositories => asked.detail.as_deref(),
        FetchCause::Unavailable | FetchCause::Internal => None,
    };
    let parts = [Some(cause.summary()), said];
    Some(Mail::UnableToFetchCommits {
        version: work.release.version.clone(),
        repository: repository.id,
        name: repository.name.clone(),
        cause: parts.into_iter().flatten().collect::<Vec<_>>().join(" "),
        remedy: cause.remedy().to_owned(),
    })
}

/// The person whose identity the organization asks with, where that is known and a mail reaches them, and what
/// they are told: nothing where the identity is forgotten. Who has left gets none.
async fn owner(
    context: &Context,
    work: &FetchWork,
) -> Result<Option<(UserId, Option<Mail>)>, Fault> {
    let acts_as = work.attached.as_ref().and_then(|it| it.acts_as.as_ref());
    let (Some(address), Some(integration)) = (acts_as, &work.integration) else {
        return Ok(None);
    };
    let known = work.identity(&context.ring).is_some();
    // Where new tokens are made.
    let (provider, page) = match integration.provider {
        Provider::Vsts => ("Azure DevOps", "_usersSettings/tokens"),
        Provider::Github => ("GitHub", "settings/tokens"),
        Provider::JiraServer => return Ok(None),
    };
    let mail = Mail::IdentityInvalid {
        provider: provider.to_owned(),
        url: format!("{}{page}", integration.domain_name),
        during: IdentityUse::FetchingCommits,
    };
    let Some(user) = context.store.user_by_email(address).await? else {
        return Ok(None);
    };
    let (organization, to) = (work.release.organization, Recipients::Users(vec![user.id]));
    let reached = context.store.mail_recipients(organization, &to).await?;
    Ok(reached.first().map(|user| (user.id, known.then_some(mail))))
}

fn message(work: &FetchWork, to: Recipients, mail: Mail) -> Message {
    let (repository, number) = (work.repository_id, work.trouble.version + 1);
    Message::SendEmail(SendEmail {
        organization: work.release.organization,
        // One mail goes with each writing of what was told.
        key: MailKey::new(format!("fetch/{repository}/{number}")),
        to,
        mail,
        attempts: 0,
    })
}
