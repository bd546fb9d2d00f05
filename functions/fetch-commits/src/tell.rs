//! Who hears of what: of a repository's trouble once for each cause, and once when it is over.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Fault, FetchAnswer, FetchCause, FetchEnd, Message, UserId};
use store::FetchWork;

use crate::{Context, fetch::Asked};

/// What is written and sent together with the end of a round.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Who has been told of what now; `None`: as before.
    pub(crate) told: Option<BTreeMap<FetchCause, UserId>>,
    pub(crate) mails: Vec<Message>,
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
) -> Result<Told, Fault> {
    let before = &work.trouble.told;
    if asked.answer == FetchAnswer::Commits && !before.is_empty() {
        let people: BTreeSet<_> = before.values().copied().collect();
        return Ok(Told {
            told: Some(BTreeMap::new()),
            mails: Vec::new(),
            forget_identity: false,
        });
    }
    let cause = match end {
        FetchEnd::Again { tell, .. } | FetchEnd::Over { tell } => *tell,
    };
    let Some(cause) = cause.filter(|cause| !before.contains_key(cause)) else {
        return Ok(Told::default());
    };
    let owner = match cause {
        FetchCause::Credentials => owner(context, work).await?,
        FetchCause::Repository
        | FetchCause::Commit
        | FetchCause::Unavailable
        | FetchCause::Refused
        | FetchCause::Internal => None,
    };
    let Some(user) = owner.or(work.fetch.user) else {
        return Ok(Told::default());
    };
    let mut told = before.clone();
    told.insert(cause, user);
    Ok(Told {
        told: Some(told),
        mails: Vec::new(),
        forget_identity: owner.is_some(),
    })
}

/// Whose identity the organization asks with, where that is known and there is one.
async fn owner(context: &Context, work: &FetchWork) -> Result<Option<UserId>, Fault> {
    let acts_as = work.attached.as_ref().and_then(|it| it.acts_as.as_ref());
    let (Some(address), Some(_)) = (acts_as, work.identity(&context.ring)) else {
        return Ok(None);
    };
    let user = context.store.user_by_email(address).await?;
    Ok(user.map(|user| user.id))
}
