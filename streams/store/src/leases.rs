//! The table `leases`: who does the work that only one process may do.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Failure, Store};

/// A lease expires after this time. Holders renew it every second and others try every second, so it changes
/// hands within 4 s.
const TERM: Duration = Duration::from_secs(3);

/// A lease that this process held when it last checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    name: &'static str,
    holder: Uuid,
    epoch: i64,
}

impl Store {
    /// Takes or renews a lease. Returns `None` while another process holds it.
    pub async fn lease(&self, name: &'static str, held: Option<&Lease>) -> Result<Option<Lease>, Failure> {
        let mut connection = self.connection().await?;
        let row = sqlx::query!(
            // Renewing locks the row less than `for update` does, so it does not wait for the holder's own
            // transactions, which lock it `for key share`. A takeover waits for nobody: while such a
            // transaction runs, the duty is not free.
            "with free as (
                select name from leases where name = $1 and holder is distinct from $2 and expires_at < clock_timestamp()
                for update skip locked
            )
            insert into leases as l (name, holder, epoch, expires_at)
            values ($1, coalesce($2, gen_random_uuid()), 1, clock_timestamp() + make_interval(secs => $3))
            on conflict (name) do update set
                holder = excluded.holder, expires_at = excluded.expires_at, epoch = l.epoch + (l.holder <> excluded.holder)::int
            where l.holder = excluded.holder or exists (select from free)
            returning holder, epoch",
            name,
            held.map(|lease| lease.holder),
            TERM.as_secs_f64(),
        )
        .fetch_optional(&mut *connection)
        .await?;
        Ok(row.map(|row| Lease { name, holder: row.holder, epoch: row.epoch }))
    }

    /// Releases a lease, so that the next holder need not wait.
    pub async fn give_up(&self, lease: &Lease) -> Result<(), Failure> {
        let mut connection = self.connection().await?;
        sqlx::query!(
            "update leases set expires_at = '-infinity' where name = $1 and holder = $2 and epoch = $3",
            lease.name,
            lease.holder,
            lease.epoch
        )
        .execute(&mut *connection)
        .await?;
        Ok(())
    }
}

/// Whether this process still holds the lease. If so, it keeps it until the transaction ends.
pub async fn still_holds(on: &mut PgConnection, lease: &Lease) -> Result<bool, Failure> {
    let held = sqlx::query_scalar!(
        r#"select true as "held!" from leases where name = $1 and holder = $2 and epoch = $3 for key share"#,
        lease.name,
        lease.holder,
        lease.epoch
    )
    .fetch_optional(on)
    .await?;
    Ok(held.is_some())
}
