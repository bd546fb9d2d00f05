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
    pub(crate) mail: Option<Message>,
    /// Whether the identity's owner is told that it is of no use any more.
    pub(crate) forget_identity: bool,
}

/// Decides who is told. Whoever asked hears of it, and of an identity that is refused its owner; nobody hears
/// of what an organization's token asked for.
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
        | FetchCause::Internal => None,
    };
    let forget_identity = owner.is_some();
    let (user, mail) = match (owner, work.fetch.user) {
        (Some(owner), _) => owner,
        (None, Some(user)) => match unable(work, asked, cause) {
            Some(mail) => (user, mail),
            None => return Ok(Told::default()),
        },
        (None, None) => return Ok(Told::default()),
    };
    let new = ToldOf {
        user,
        since: now,
        failures: 1,
    };
    told.insert(cause, new);
    Ok(Told {
        told: Some(told),
        mail: Some(message(work, vec![user], mail)),
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
    let people: BTreeSet<_> = before.clone().map(|told| told.user).collect();
    let mail = Mail::FetchingHealed {
        repository: repository.id,
        name: repository.name.clone(),
        since,
        failures: before.map(|told| told.failures).sum(),
    };
    Told {
        told: Some(BTreeMap::new()),
        mail: Some(message(work, people.into_iter().collect(), mail)),
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
        | FetchCause::Refused => asked.detail.as_deref(),
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

/// The owner of the identity that the organization asks with, where that is known and there is one, and what
/// they are told.
async fn owner(context: &Context, work: &FetchWork) -> Result<Option<(UserId, Mail)>, Fault> {
    let acts_as = work.attached.as_ref().and_then(|it| it.acts_as.as_ref());
    let (Some(address), Some(_), Some(integration)) =
        (acts_as, work.identity(&context.ring), &work.integration)
    else {
        return Ok(None);
    };
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
    let user = context.store.user_by_email(address).await?;
    Ok(user.map(|user| (user.id, mail)))
}

fn message(work: &FetchWork, users: Vec<UserId>, mail: Mail) -> Message {
    let (repository, number) = (work.repository_id, work.trouble.version + 1);
    Message::SendEmail(SendEmail {
        organization: work.release.organization,
        // One mail goes with each writing of what was told.
        key: MailKey::new(format!("fetch/{repository}/{number}")),
        to: Recipients::Users(users),
        mail,
        attempts: 0,
    })
}
