//! Pictures, in pieces, as an item of the table holds less than one of them.
//!
//! The pieces lie under the picture's id, which nobody guesses: who looks at a picture knows nothing else. A row in
//! the organization's partition leads to them. It is written before them, so that nothing is left that nothing
//! leads to; they are written before the organization shows them, so that it never shows a part.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{
    Organization, OrganizationId, OrganizationStatus, Picture, PictureId, PictureKind, QUIET,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    hash::sha256_hex,
    keys,
    table::{Query, Store, key_of, read, write},
};

/// An item holds 400 KB, names included.
const PIECE: usize = 350_000;
/// The attribute with the bytes of a piece.
const BYTES: &str = "bytes";

/// What leads from an organization to a picture.
#[derive(Serialize, Deserialize)]
pub(crate) struct PictureRow {
    pub(crate) picture: PictureId,
    created: Timestamp,
}

/// What a piece says beside its bytes.
#[derive(Serialize, Deserialize)]
struct Piece {
    kind: PictureKind,
    /// How many there are.
    pieces: usize,
}

/// A picture with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPicture {
    /// Its format.
    pub kind: PictureKind,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Store {
    /// The picture with this id, if all of it is there.
    pub async fn picture(&self, id: PictureId) -> Result<Option<StoredPicture>, StoreError> {
        let pk = keys::picture_piece(id, 0).pk;
        let query = Query::prefix(&pk, keys::PIECES);
        let (mut found, mut bytes, mut count) = (None, Vec::new(), 0);
        let mut start = None;
        loop {
            let (items, next) = self.query_page(&query, true, None, start).await?;
            for mut item in items {
                if let Some(AttributeValue::B(part)) = item.remove(BYTES) {
                    bytes.extend(part.into_inner());
                }
                let piece: Piece = read(&key_of(&item), item)?;
                found = Some(piece);
                count += 1;
            }
            if next.is_none() {
                break;
            }
            start = next;
        }
        let whole = found.filter(|piece| piece.pieces == count);
        Ok(whole.map(|Piece { kind, .. }| StoredPicture { kind, bytes }))
    }

    /// Stores a picture for an organization that is to show it, and forgets those that were stored and never
    /// shown. `None`: it is the one that the organization has.
    pub async fn put_picture(
        &self,
        organization: &Organization,
        id: PictureId,
        picture: &StoredPicture,
        now: Timestamp,
    ) -> Result<Option<Picture>, StoreError> {
        let sha256 = sha256_hex(&picture.bytes);
        let known = organization.picture.as_ref();
        // One of an organization that goes may be gone already.
        let whole = organization.status != OrganizationStatus::DeletionInProgress;
        if whole && known.is_some_and(|known| known.sha256 == sha256) {
            return Ok(None);
        }
        self.forget_lost_pictures(organization, now).await?;
        let row = keys::organization_picture(organization.id, id);
        let item = PictureRow {
            picture: id,
            created: now,
        };
        self.put_all(vec![write(&row, &item)?]).await?;
        let parts = picture.bytes.chunks(PIECE);
        let piece = Piece {
            kind: picture.kind,
            pieces: parts.len(),
        };
        let mut items = Vec::new();
        for (number, part) in parts.enumerate() {
            let mut item = write(&keys::picture_piece(id, number), &piece)?;
            let bytes = AttributeValue::B(Blob::new(part));
            item.insert(BYTES.to_owned(), bytes);
            items.push(item);
        }
        self.put_all(items).await?;
        Ok(Some(Picture { id, sha256 }))
    }

    /// Those that an upload left behind that did not come to its end. One that may still come to it is young.
    async fn forget_lost_pictures(
        &self,
        organization: &Organization,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let pk = keys::organization(organization.id).pk;
        let query = Query::prefix(&pk, keys::PICTURES);
        let rows: Vec<PictureRow> = self.query_all(query).await?;
        let shown = organization.picture.as_ref().map(|picture| picture.id);
        let lost = |row: &&PictureRow| {
            Some(row.picture) != shown && row.created.plus(QUIET).millis() < now.millis()
        };
        for row in rows.iter().filter(lost) {
            self.forget_picture(organization.id, row.picture).await?;
        }
        Ok(())
    }

    /// Deletes a picture that nobody is shown any more, what leads to it last.
    pub(crate) async fn forget_picture(
        &self,
        organization: OrganizationId,
        id: PictureId,
    ) -> Result<(), StoreError> {
        let pieces = self
            .keys_in(&keys::picture_piece(id, 0).pk, keys::PIECES)
            .await?;
        self.delete_all(pieces).await?;
        self.delete_all(vec![keys::organization_picture(organization, id)])
            .await
    }
}
