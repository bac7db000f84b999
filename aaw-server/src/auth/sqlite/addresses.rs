//! Brings the stored e-mail addresses to their normal form.
//!
//! Versions before this one stored addresses in lower case, but not in NFC. When a store is opened, such an address is
//! replaced by its normal form, in which it is looked up from then on. If several users have addresses with the same
//! normal form, one of them has it and the others keep their address as it is: users are never merged. Such an address
//! is found if it is sent exactly as it is stored, as before.

use std::fmt;

use aaw_protocol::Identity;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::statements;
use crate::auth::email::Email;

/// A user whose address is not in its normal form, because another user has that one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressCollision {
    /// The id and the address of the user.
    pub(super) user: (String, String),
    /// The id and the address of the user who has the normal form.
    pub(super) other: (String, String),
}

impl fmt::Display for AddressCollision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((id, email), (other_id, other_email)) = (&self.user, &self.other);
        // Escaped, since the two look the same.
        let (email, other_email) = (email.escape_default(), other_email.escape_default());
        write!(
            f,
            "two users have the same e-mail address in different Unicode forms: \"{other_email}\" (id {other_id}) and \
             \"{email}\" (id {id}); the second can log in in its own form only. Remove one of them with `aaw-server user \
             remove ID`"
        )
    }
}

/// Replaces the stored addresses by their normal forms, and returns those that collide with another.
pub(super) fn normalize(db: &mut Connection) -> rusqlite::Result<Vec<AddressCollision>> {
    // Most stores need no change, and then this takes no lock for writing.
    if not_normal(db)?.is_empty() {
        return Ok(Vec::new());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut collisions = Vec::new();
    for ((id, email), normal) in not_normal(&transaction)? {
        match statements::account_at(&transaction, normal.as_str())? {
            None => rename(&transaction, &id, &email, normal.as_str())?,
            Some(Identity { id: other_id, email: other_email, .. }) => {
                collisions.push(AddressCollision { user: (id, email), other: (other_id, other_email) });
            }
        }
    }
    transaction.commit()?;
    Ok(collisions)
}

/// Returns the users whose address is not in its normal form, with that form; the oldest first.
fn not_normal(db: &Connection) -> rusqlite::Result<Vec<((String, String), Email)>> {
    // An address in ASCII is its own normal form.
    let mut users =
        db.prepare("SELECT id, email FROM users WHERE octet_length(email) <> length(email) ORDER BY created, id")?;
    let user = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let mut found = Vec::new();
    for user in users.query_map([], user)? {
        let (id, email) = user?;
        // One that is invalid is left as it is.
        if let Ok(normal) = Email::normalize(&email)
            && normal.as_str() != email
        {
            found.push(((id, email), normal));
        }
    }
    Ok(found)
}

fn rename(transaction: &Transaction<'_>, id: &str, email: &str, normal: &str) -> rusqlite::Result<()> {
    transaction.execute("UPDATE users SET email = ? WHERE id = ?", params![normal, id])?;
    // Pending resets stay valid. Those that were requested for the normal form had no user.
    transaction.execute("DELETE FROM resets WHERE email = ?", [normal])?;
    transaction.execute("UPDATE resets SET email = ? WHERE email = ?", params![normal, email])?;
    Ok(())
}
