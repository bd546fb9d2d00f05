//! Who the authors of commits and pull requests are here.

use std::collections::HashMap;

use domain::{Email, Fault, Member, OrganizationId, User, UserId};

use crate::Context;

/// Authors by address, each looked up once.
pub(crate) struct People<'a> {
    context: &'a Context,
    organization: OrganizationId,
    known: HashMap<String, Vec<(Member, User)>>,
}

impl<'a> People<'a> {
    pub(crate) fn of(context: &'a Context, organization: OrganizationId) -> Self {
        Self {
            context,
            organization,
            known: HashMap::new(),
        }
    }

    /// The active members that have proven the address, with the lowest id first.
    pub(crate) async fn with_address(
        &mut self,
        address: Option<&str>,
    ) -> Result<&[(Member, User)], Fault> {
        let Some((text, address)) =
            address.and_then(|text| Some((text, text.parse::<Email>().ok()?)))
        else {
            return Ok(&[]);
        };
        if !self.known.contains_key(text) {
            let store = &self.context.store;
            let found = store.members_with_address(self.organization, &address);
            self.known.insert(text.to_owned(), found.await?);
        }
        Ok(&self.known[text])
    }
}

/// Their ids, in the same order.
pub(crate) fn ids(people: &[(Member, User)]) -> Vec<UserId> {
    people.iter().map(|(member, _)| member.user).collect()
}
