//! Units of work on second factors. Each locks the account, and then the attempts. What was wrong is
//! an output and no fault: the line in the trail stays, and so does the attempt.

use uuid::Uuid;

use super::{Row, SecondFactors, required, store, tell_unreadable};
use crate::{
    accounts::{
        User,
        audit::{self, AuditData, Witness},
        commands::{self, finish, resume, wrong_password},
        emails::commands::{Said, tell},
        sessions,
        store::{self as accounts, Account},
    },
    events::{
        audit::{CodeFailed, CodeKind, CodesLeft},
        users::UserEvent,
    },
    identity::{
        Caller, Ended,
        challenge::Challenge,
        master_key::{KeyId, NONCE},
        permit::ChangeUser,
        second_factor::{self, Need, Passed, RecoveryHash, Shown, Standing, Used, Verdict, judge},
        token::not_authenticated,
    },
    kernel::{fault::Fault, id::UserId, stamp::Revision, time::Instant},
    mail::{Text, service::Sheet},
    storage::{Authority, Tx, UnitOfWork, request::Once},
};

/// What is shown beside a password, and what it takes to judge it and to write down what follows.
#[derive(Debug, Clone)]
pub struct Second {
    /// What is shown.
    pub shown: Shown,
    /// What it is judged with.
    pub factors: SecondFactors,
    /// The hashes of the recovery codes that an account gets whose first code this is.
    pub codes: Vec<RecoveryHash>,
    /// The id of a second line in the trail.
    pub also: Uuid,
    /// Randomness for sealing a secret anew whose master key was replaced.
    pub nonce: [u8; NONCE],
    /// For telling the owner that a recovery code was used.
    pub used: Sheet,
    /// For telling what else was done.
    pub done: Sheet,
}

/// What came of judging it.
#[derive(Debug)]
pub enum Judged {
    /// It was enough, and what it used up is written down.
    Passed {
        /// The proof.
        passed: Passed,
        /// What it ended, if it turned the second factor on.
        ended: Option<Ended>,
    },
    /// Nothing was shown, and this is needed.
    Needs(Need),
    /// It was wrong, which is written down.
    Wrong,
    /// Nobody can tell, so it is no attempt either: the recovery code that helps is counted by the same.
    Unreadable,
}

impl Second {
    /// Judges for a locked account, whose session `kept` stays if this turns the second factor on.
    /// `required` is whether it must have one.
    pub async fn judge(
        &self,
        tx: &Tx,
        account: &Account,
        required: bool,
        kept: Option<Uuid>,
        witness: &Witness,
    ) -> Result<Judged, Fault> {
        let (user, now) = (account.user.id, witness.now);
        let (row, standing) = self.standing(tx, &account.user, now).await?;
        let (passed, used) = match judge(&standing, required, &self.shown, now) {
            Verdict::Passed(passed, used) => (passed, used),
            Verdict::Needs(need) => return Ok(Judged::Needs(need)),
            Verdict::Wrong => {
                failed(tx, user, &self.shown, witness).await?;
                return Ok(Judged::Wrong);
            }
            Verdict::Unreadable(error) => {
                let sealed = row.on.as_ref().map(|on| on.sealed.as_slice());
                tell_unreadable(user, sealed.unwrap_or_default(), error);
                return Ok(Judged::Unreadable);
            }
        };
        let mut ended = None;
        match used {
            Used::Nothing => {}
            Used::Step(step) => {
                let outdated = row.on.filter(|on| self.factors.master.is_outdated(&on.sealed));
                let secret = standing.on.and_then(|factor| factor.secret.ok());
                let anew = |(_, secret): (_, second_factor::Secret)| {
                    self.factors.seal(user, &secret, self.nonce)
                };
                let outdated = outdated.zip(secret);
                store::use_step(tx, user, step, outdated.map(anew).transpose()?).await?;
            }
            Used::Recovery(hash) => {
                store::use_recovery(tx, user, &hash).await?;
                let left = CodesLeft { left: standing.recovery.len() - 1 };
                let witness = Witness { id: self.also, ..witness.clone() };
                let entry = witness.of(AuditData::RecoveryCodeUsed(left), Some(user), None);
                audit::store::record(tx, entry).await?;
                let left = (standing.recovery.len() - 1).to_string();
                let text =
                    |Said { name, at, address }| Text::RecoveryCodeUsed { name, at, address, left };
                tell(tx, &self.used, &account.user, &witness, text).await?;
            }
            Used::First(step) => {
                let witness = Witness { id: self.also, ..witness.clone() };
                ended = Some(turn_on(tx, account, (self, step, false), kept, &witness).await?);
            }
        }
        Ok(Judged::Passed { passed, ended })
    }

    /// The recovery codes that it brings along, with the master key that they are hashed with.
    fn fresh(&self) -> (KeyId, &[RecoveryHash]) {
        (self.factors.master.id(), &self.codes)
    }

    async fn standing(&self, tx: &Tx, user: &User, now: Instant) -> Result<(Row, Standing), Fault> {
        let row = store::find(tx, user.id).await?;
        let recovery = match self.shown {
            Shown::Recovery(_) => store::recovery(tx, user.id).await?,
            Shown::Nothing | Shown::Code(_) => Vec::new(),
        };
        let standing = self.factors.standing(user, &row, recovery, now)?;
        Ok((row, standing))
    }
}

/// Writes down that a code was wrong. Who showed it is not known.
async fn failed(tx: &Tx, user: UserId, shown: &Shown, witness: &Witness) -> Result<(), Fault> {
    let is_recovery = matches!(shown, Shown::Recovery(_));
    let shown = if is_recovery { CodeKind::RecoveryCode } else { CodeKind::Code };
    let failed = AuditData::SecondFactorFailed(CodeFailed { shown });
    audit::store::record(tx, witness.of(failed, Some(user), None)).await
}

/// Turns on what was enrolled, by the code of a step: with new recovery codes, and the end of all other
/// log-ins. `replaces` is whether another app was there before.
async fn turn_on(
    tx: &Tx,
    account: &Account,
    (second, step, replaces): (&Second, i64, bool),
    kept: Option<Uuid>,
    witness: &Witness,
) -> Result<Ended, Fault> {
    let (user, now) = (account.user.id, witness.now);
    store::turn_on(tx, user, step, now).await?;
    store::replace_recovery(tx, user, second.fresh(), now).await?;
    let text = |Said { name, at, address }| {
        if replaces {
            Text::SecondFactorReplaced { name, at, address }
        } else {
            Text::SecondFactorOn { name, at, address }
        }
    };
    tell(tx, &second.done, &account.user, witness, text).await?;
    let ended = Ended { least: account.next_generation(now), kept };
    let act = commands::Act {
        event: UserEvent::SecondFactorEnabled,
        actor: user,
        ended: Some(ended),
        audited: Some((AuditData::SecondFactorEnabled, witness)),
    };
    // The answer holds secrets.
    finish(tx, account.clone(), act, &Once::NEVER, now).await?;
    Ok(ended)
}

/// What somebody shows who is logged in: the password, which the service has verified, and a code.
#[derive(Clone)]
pub struct Own {
    /// The id of the account, which is the caller's.
    pub user: UserId,
    /// The hash that the password was verified against.
    pub verified: String,
    /// The code.
    pub second: Second,
    /// The request, for retries.
    pub once: Once,
    /// Who does it.
    pub witness: Witness,
}

/// Why nothing was done, although the password was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    /// The code was wrong.
    Wrong,
    /// Nobody can tell whether the code was right.
    Unreadable,
    /// A second factor is on, and a code of it is needed.
    NeedsCode,
    /// No second factor is on, or none was enrolled.
    NotThere,
}

/// What came of it.
pub type Done<T> = Result<T, NotDone>;

/// Whether no code was wrong.
pub const fn is_right<T>(done: &Done<T>) -> bool {
    !matches!(done, Err(NotDone::Wrong))
}

/// The account that it was found to be good for.
pub enum Checked {
    /// With its second factor.
    Right(Box<Account>),
    /// Without: none is on. Of the code nothing was looked at.
    Off(Box<Account>),
}

impl Own {
    /// Locks the account; nothing if this request was answered before.
    async fn check(&self, tx: &Tx) -> Result<Done<Option<Checked>>, Fault> {
        let account = accounts::lock(tx, self.user).await?;
        let (account, earlier) = resume(tx, account, self.user, &self.once, None).await?;
        if earlier.is_some() {
            return Ok(Ok(None));
        }
        Ok(self.check_locked(tx, account).await?.map(Some))
    }

    /// Whether it is good for this account, which is locked. `CURRENT_PASSWORD_WRONG` where the password changed
    /// since it was verified.
    pub async fn check_locked(&self, tx: &Tx, account: Account) -> Result<Done<Checked>, Fault> {
        if account.password_hash != self.verified {
            return Err(wrong_password());
        }
        if !store::is_on(tx, self.user).await? {
            return Ok(Ok(Checked::Off(Box::new(account))));
        }
        Ok(match self.second.judge(tx, &account, true, None, &self.witness).await? {
            Judged::Passed { .. } => Ok(Checked::Right(Box::new(account))),
            Judged::Needs(_) => Err(NotDone::NeedsCode),
            Judged::Unreadable => Err(NotDone::Unreadable),
            Judged::Wrong => Err(NotDone::Wrong),
        })
    }
}

/// Writes down that an app waits to be confirmed.
async fn enrolled(tx: &Tx, user: UserId, witness: &Witness) -> Result<(), Fault> {
    let entry = witness.of(AuditData::SecondFactorEnrolled, Some(user), None);
    audit::store::record(tx, entry).await
}

/// Keeps a new secret until it is confirmed.
#[derive(Clone)]
pub struct Enrol {
    /// The right to, with a code only where a second factor is on.
    pub own: Own,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
}

impl UnitOfWork for Enrol {
    type Output = Done<()>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        if let Err(not) = self.own.check(tx).await? {
            return Ok(Err(not));
        }
        let Own { user, witness, .. } = &self.own;
        store::put_pending(tx, *user, &self.sealed, witness.now).await?;
        enrolled(tx, *user, witness).await?;
        Ok(Ok(()))
    }
}

/// Keeps a new secret for a log-in that needs one.
#[derive(Debug, Clone)]
pub struct EnrolAtLogIn {
    /// The log-in.
    pub challenge: Challenge,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// What says who needs one.
    pub factors: SecondFactors,
    /// Who does it.
    pub witness: Witness,
}

impl UnitOfWork for EnrolAtLogIn {
    /// Whether this log-in needs an enrolment, and is still good.
    type Output = bool;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<bool, Fault> {
        let user = self.challenge.user;
        let Some(account) = goes_on(tx, &self.challenge).await? else { return Ok(false) };
        if !self.factors.required(account.user.role) || store::is_on(tx, user).await? {
            return Ok(false);
        }
        store::put_pending(tx, user, &self.sealed, self.witness.now).await?;
        enrolled(tx, user, &self.witness).await?;
        Ok(true)
    }
}

/// Locks the account of a log-in; nothing if it changed since the password was verified, or if the
/// session began already.
pub async fn goes_on(tx: &Tx, challenge: &Challenge) -> Result<Option<Account>, Fault> {
    let Challenge { user, session, generation, .. } = *challenge;
    let account = accounts::lock(tx, user).await?;
    let same = |account: &Account| !account.user.disabled && account.token_generation == generation;
    let Some(account) = account.filter(same) else { return Ok(None) };
    let begun = sessions::store::lock(tx, user, session).await?;
    Ok(begun.is_none().then_some(account))
}

/// Turns on what was enrolled, by the app's first code.
#[derive(Debug, Clone)]
pub struct Confirm {
    /// Whose; the log-in that does it stays logged in.
    pub caller: Caller,
    /// The code.
    pub code: String,
    /// What it is judged with, and the hashes of the new recovery codes.
    pub second: Second,
    /// Who does it.
    pub witness: Witness,
}

impl UnitOfWork for Confirm {
    type Output = Done<Ended>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let (now, user) = (self.witness.now, self.caller.user);
        let account = accounts::lock(tx, user).await?;
        let account = account.ok_or_else(|| Fault::not_found(user.name()))?;
        tx.judge(self.caller).await?;
        let (_, standing) = self.second.standing(tx, &account.user, now).await?;
        if standing.pending.is_none() {
            return Ok(Err(NotDone::NotThere));
        }
        let Some(step) = second_factor::first(&standing, &self.code, now) else {
            failed(tx, user, &Shown::Code(String::new()), &self.witness).await?;
            return Ok(Err(NotDone::Wrong));
        };
        let on = (&self.second, step, standing.on.is_some());
        turn_on(tx, &account, on, Some(self.caller.session), &self.witness).await.map(Ok)
    }
}

/// Makes new recovery codes.
#[derive(Clone)]
pub struct Regenerate {
    /// The right to, and the hashes of the new codes.
    pub own: Own,
}

impl UnitOfWork for Regenerate {
    type Output = Done<()>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let account = match self.own.check(tx).await? {
            Ok(Some(Checked::Right(account))) => account,
            Ok(_) => return Ok(Err(NotDone::NotThere)),
            Err(not) => return Ok(Err(not)),
        };
        let Own { user, second, witness, .. } = &self.own;
        store::replace_recovery(tx, *user, second.fresh(), witness.now).await?;
        let entry = witness.of(AuditData::RecoveryCodesRegenerated, Some(*user), None);
        audit::store::record(tx, entry).await?;
        let text = |Said { name, at, address }| Text::RecoveryCodesMade { name, at, address };
        tell(tx, &second.done, &account.user, witness, text).await?;
        Ok(Ok(()))
    }
}

/// Takes one's own second factor off.
#[derive(Clone)]
pub struct Disable {
    /// The right to.
    pub own: Own,
    /// The log-in that does it, and stays logged in.
    pub session: Uuid,
}

impl UnitOfWork for Disable {
    /// What is still accepted; nothing where it was done by the same request before.
    type Output = Done<Option<Ended>>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let account = match self.own.check(tx).await? {
            Ok(Some(Checked::Right(account))) => *account,
            Ok(Some(Checked::Off(_))) => return Ok(Err(NotDone::NotThere)),
            Ok(None) => return Ok(Ok(None)),
            Err(not) => return Ok(Err(not)),
        };
        let Own { user, second, once, witness, .. } = &self.own;
        if second.factors.required(account.user.role) {
            return Err(required());
        }
        store::take_off(tx, *user).await?;
        let text = |Said { name, at, address }| Text::SecondFactorOff { name, at, address };
        tell(tx, &second.done, &account.user, witness, text).await?;
        let least = account.next_generation(witness.now);
        let ended = Ended { least, kept: Some(self.session) };
        let act = commands::Act {
            event: UserEvent::SecondFactorDisabled,
            actor: *user,
            ended: Some(ended),
            audited: Some((AuditData::SecondFactorDisabled, witness)),
        };
        finish(tx, account, act, once, witness.now).await?;
        Ok(Ok(Some(ended)))
    }
}

/// Takes the second factor off another account.
#[derive(Debug, Clone)]
pub struct Reset {
    /// The right to.
    pub permit: ChangeUser,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub once: Once,
    /// For telling the owner.
    pub sheet: Sheet,
    /// Who does it.
    pub witness: Witness,
}

impl UnitOfWork for Reset {
    type Output = (User, Ended);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let ChangeUser { admin, subject } = self.permit;
        let now = self.witness.now;
        // As with other changes of accounts: the one who acts is an admin now.
        let (actor, account) = accounts::lock_both(tx, admin, subject).await?;
        if !actor.is_some_and(|actor| actor.user.administers()) {
            return Err(not_authenticated());
        }
        let (account, earlier) = resume(tx, account, subject, &self.once, self.expected).await?;
        let present = Ended { least: account.token_generation, kept: None };
        if let Some(earlier) = earlier {
            return Ok((earlier, present));
        }
        let row = store::find(tx, subject).await?;
        if row.on.is_none() && row.pending_at(now).is_none() {
            let user = account.user;
            self.once.keep(tx, subject.0, user.version, &user, now).await?;
            return Ok((user, present));
        }
        store::take_off(tx, subject).await?;
        if row.on.is_some() {
            let text = |Said { name, at, .. }| Text::SecondFactorReset { name, at };
            tell(tx, &self.sheet, &account.user, &self.witness, text).await?;
        }
        let ended = Ended { least: account.next_generation(now), kept: None };
        let act = commands::Act {
            event: UserEvent::SecondFactorReset,
            actor: admin,
            ended: Some(ended),
            audited: Some((AuditData::SecondFactorReset, &self.witness)),
        };
        let user = finish(tx, account, act, &self.once, now).await?;
        Ok((user, ended))
    }
}
