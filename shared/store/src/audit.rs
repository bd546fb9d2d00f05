//! The audit log of an organization. Entries are written in the transaction of what they tell of, and
//! never changed.

use domain::{AuditActor, AuditEntry, OrganizationId};

use crate::{
    error::StoreError,
    keys,
    table::{Filter, Page, Query, Store, text, value},
    transaction::Transaction,
};

/// Which entries are wanted; `None` for all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// The name of the event.
    pub event: Option<&'static str>,
    /// Who did it.
    pub actor: Option<AuditActor>,
}

impl Transaction<'_> {
    /// Writes down what the transaction does.
    pub(crate) fn audit(self, entry: &AuditEntry) -> Result<Self, StoreError> {
        self.put_new(&keys::audit_entry(entry), entry)
    }
}

impl Store {
    /// The audit log of an organization, newest first.
    pub async fn audit_log(
        &self,
        organization: OrganizationId,
        filter: &AuditFilter,
        skip: usize,
        limit: usize,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let pk = keys::organization(organization).pk;
        let mut filters = Vec::new();
        if let Some(event) = filter.event {
            filters.push(Filter::is("event", text(event)));
        }
        if let Some(actor) = &filter.actor {
            filters.push(Filter::is("actor", value(actor)?));
        }
        let query = Query {
            descending: true,
            filters,
            ..Query::prefix(&pk, keys::AUDIT_ENTRIES)
        };
        self.list(query, skip, limit).await
    }
}
