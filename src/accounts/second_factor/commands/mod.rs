//! Units of work on second factors. Each locks the account, and then the attempts. What was wrong is
//! an output and no fault: the line in the trail stays, and so does the attempt.

mod reset;

use uuid::Uuid;

use super::{FactorSettings, Row, required, store, tell_unreadable};
use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData},
        commands::{self, finish, resume},
        emails::commands::{Said, tell},
        passwords::commands::wrong_password,
        second_factor::{
            challenge::Challenge,
            rules::{
                self, FactorState, Need, PresentedFactor, RecoveryHash, SecondFactorProof, Used,
                Verdict, judge,
            },
        },
        sessions,
        store::{self as accounts, Account},
    },
    events::{
        audit::{CodeFailed, CodeKind, CodesLeft},
        users::UserEvent,
    },
    identity::{
        Caller, TokenCutoff,
        master_key::{KeyId, NONCE},
    },
    kernel::{fault::Fault, id::UserId, time::Instant},
    mail::{EmailTemplate, service::EmailDraft},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

pub use self::reset::Reset;

/// A second-factor check: the presented code and what is needed to verify it and to record the result.
#[derive(Debug, Clone)]
pub struct SecondFactorCheck {
    /// What is shown.
    pub shown: PresentedFactor,
    /// What it is judged with.
    pub factors: FactorSettings,
    /// The hashes of the recovery codes that an account gets whose first code this is.
    pub codes: Vec<RecoveryHash>,
    /// The id of a second line in the trail.
    pub also: Uuid,
    /// Randomness for sealing a secret anew whose master key was replaced.
    pub nonce: [u8; NONCE],
    /// For telling the owner that a recovery code was used.
    pub used: EmailDraft,
    /// For telling what else was done.
    pub done: EmailDraft,
}

/// Result of a second-factor check.
#[derive(Debug)]
pub enum CheckOutcome {
    /// It was enough, and what it used up is written down.
    Passed {
        /// Proof that the second factor was checked.
        passed: SecondFactorProof,
        /// What it ended, if it turned the second factor on.
        ended: Option<TokenCutoff>,
    },
    /// Nothing was shown, and this is needed.
    Needs(Need),
    /// It was wrong, which is written down.
    Wrong,
    /// Nobody can tell, so it is no attempt either: the recovery code that helps is counted by the same.
    Unreadable,
}

impl SecondFactorCheck {
    /// Judges for a locked account, whose session `kept` stays if this turns the second factor on.
    /// `required` is whether it must have one.
    pub async fn judge(
        &self,
        tx: &Tx,
        account: &Account,
        required: bool,
        kept: Option<Uuid>,
        audit_context: &AuditContext,
    ) -> Result<CheckOutcome, Fault> {
        let (user, now) = (account.user.id, audit_context.now);
        let (row, standing) = self.standing(tx, &account.user, now).await?;
        let (passed, used) = match judge(&standing, required, &self.shown, now) {
            Verdict::Passed(passed, used) => (passed, used),
            Verdict::Needs(need) => return Ok(CheckOutcome::Needs(need)),
            Verdict::Wrong => {
                failed(tx, user, &self.shown, audit_context).await?;
                return Ok(CheckOutcome::Wrong);
            }
            Verdict::Unreadable(error) => {
                let sealed = row.on.as_ref().map(|on| on.sealed.as_slice());
                tell_unreadable(user, sealed.unwrap_or_default(), error);
                return Ok(CheckOutcome::Unreadable);
            }
        };
        let mut ended = None;
        match used {
            Used::Nothing => {}
            Used::Step(step) => {
                let outdated = row.on.filter(|on| self.factors.master.is_outdated(&on.sealed));
                let secret = standing.on.and_then(|factor| factor.secret.ok());
                let anew = |(_, secret): (_, rules::TotpSecret)| {
                    self.factors.seal(user, &secret, self.nonce)
                };
                let outdated = outdated.zip(secret);
                store::use_step(tx, user, step, outdated.map(anew).transpose()?).await?;
            }
            Used::Recovery(hash) => {
                store::use_recovery(tx, user, &hash).await?;
                let left = CodesLeft { left: standing.recovery.len() - 1 };
                let audit_context = AuditContext { id: self.also, ..audit_context.clone() };
                let entry = audit_context.of(AuditData::RecoveryCodeUsed(left), Some(user), None);
                audit::store::record(tx, entry).await?;
                let left = (standing.recovery.len() - 1).to_string();
                let text = |Said { name, at, address }| EmailTemplate::RecoveryCodeUsed {
                    name,
                    at,
                    address,
                    left,
                };
                tell(tx, &self.used, &account.user, &audit_context, text).await?;
            }
            Used::First(step) => {
                let audit_context = AuditContext { id: self.also, ..audit_context.clone() };
                ended =
                    Some(turn_on(tx, account, (self, step, false), kept, &audit_context).await?);
            }
        }
        Ok(CheckOutcome::Passed { passed, ended })
    }

    /// The recovery codes that it brings along, with the master key that they are hashed with.
    fn fresh(&self) -> (KeyId, &[RecoveryHash]) {
        (self.factors.master.id(), &self.codes)
    }

    async fn standing(
        &self,
        tx: &Tx,
        user: &User,
        now: Instant,
    ) -> Result<(Row, FactorState), Fault> {
        let row = store::find(tx, user.id).await?;
        let recovery = match self.shown {
            PresentedFactor::Recovery(_) => store::recovery(tx, user.id).await?,
            PresentedFactor::Nothing | PresentedFactor::Code(_) => Vec::new(),
        };
        let standing = self.factors.standing(user, &row, recovery, now)?;
        Ok((row, standing))
    }
}

/// Writes down that a code was wrong. Who showed it is not known.
async fn failed(
    tx: &Tx,
    user: UserId,
    shown: &PresentedFactor,
    audit_context: &AuditContext,
) -> Result<(), Fault> {
    let is_recovery = matches!(shown, PresentedFactor::Recovery(_));
    let shown = if is_recovery { CodeKind::RecoveryCode } else { CodeKind::Code };
    let failed = AuditData::SecondFactorFailed(CodeFailed { shown });
    audit::store::record(tx, audit_context.of(failed, Some(user), None)).await
}

/// Turns on what was enrolled, by the code of a step: with new recovery codes, and the end of all other
/// log-ins. `replaces` is whether another app was there before.
async fn turn_on(
    tx: &Tx,
    account: &Account,
    (second, step, replaces): (&SecondFactorCheck, i64, bool),
    kept: Option<Uuid>,
    audit_context: &AuditContext,
) -> Result<TokenCutoff, Fault> {
    let (user, now) = (account.user.id, audit_context.now);
    store::turn_on(tx, user, step, now).await?;
    store::replace_recovery(tx, user, second.fresh(), now).await?;
    let text = |Said { name, at, address }| {
        if replaces {
            EmailTemplate::SecondFactorReplaced { name, at, address }
        } else {
            EmailTemplate::SecondFactorOn { name, at, address }
        }
    };
    tell(tx, &second.done, &account.user, audit_context, text).await?;
    let ended = TokenCutoff { least: account.next_generation(now), kept };
    let act = commands::AccountEventDraft {
        event: UserEvent::SecondFactorEnabled,
        actor: user,
        ended: Some(ended),
        audited: Some((AuditData::SecondFactorEnabled, audit_context)),
    };
    // The answer holds secrets.
    finish(tx, account.clone(), act, &IdempotencyKey::NEVER, now).await?;
    Ok(ended)
}

/// Re-authentication of a user who is logged in: the password hash that the service verified, and a
/// second-factor code.
#[derive(Clone)]
pub struct Reauthentication {
    /// The id of the account, which is the caller's.
    pub user: UserId,
    /// The hash that the password was verified against.
    pub verified: String,
    /// The code.
    pub second: SecondFactorCheck,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

/// Why re-authentication failed although the password was right.
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

/// Result of an operation that needs re-authentication.
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

impl Reauthentication {
    /// Locks the account; nothing if this request was answered before.
    async fn check(&self, tx: &Tx) -> Result<Done<Option<Checked>>, Fault> {
        let account = accounts::lock(tx, self.user).await?;
        let (account, earlier) =
            resume(tx, account, self.user, &self.idempotency_key, None).await?;
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
        Ok(match self.second.judge(tx, &account, true, None, &self.audit_context).await? {
            CheckOutcome::Passed { .. } => Ok(Checked::Right(Box::new(account))),
            CheckOutcome::Needs(_) => Err(NotDone::NeedsCode),
            CheckOutcome::Unreadable => Err(NotDone::Unreadable),
            CheckOutcome::Wrong => Err(NotDone::Wrong),
        })
    }
}

/// Writes down that an app waits to be confirmed.
async fn enrolled(tx: &Tx, user: UserId, audit_context: &AuditContext) -> Result<(), Fault> {
    let entry = audit_context.of(AuditData::SecondFactorEnrolled, Some(user), None);
    audit::store::record(tx, entry).await
}

/// Keeps a new secret until it is confirmed.
#[derive(Clone)]
pub struct Enrol {
    /// The right to, with a code only where a second factor is on.
    pub own: Reauthentication,
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
        let Reauthentication { user, audit_context, .. } = &self.own;
        store::put_pending(tx, *user, &self.sealed, audit_context.now).await?;
        enrolled(tx, *user, audit_context).await?;
        Ok(Ok(()))
    }
}

/// Keeps a new secret for a log-in that needs one.
#[derive(Debug, Clone)]
pub struct EnrolAtLogIn {
    /// The pending log-in.
    pub challenge: Challenge,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// What says who needs one.
    pub factors: FactorSettings,
    /// Who does it.
    pub audit_context: AuditContext,
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
        store::put_pending(tx, user, &self.sealed, self.audit_context.now).await?;
        enrolled(tx, user, &self.audit_context).await?;
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
    /// The code of the authenticator app, as the user typed it.
    pub code: String,
    /// What it is judged with, and the hashes of the new recovery codes.
    pub second: SecondFactorCheck,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Confirm {
    type Output = Done<TokenCutoff>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let (now, user) = (self.audit_context.now, self.caller.user);
        let account = accounts::lock(tx, user).await?;
        let account = account.ok_or_else(|| Fault::not_found(user.name()))?;
        tx.judge(self.caller).await?;
        let (_, standing) = self.second.standing(tx, &account.user, now).await?;
        if standing.pending.is_none() {
            return Ok(Err(NotDone::NotThere));
        }
        let Some(step) = rules::first(&standing, &self.code, now) else {
            failed(tx, user, &PresentedFactor::Code(String::new()), &self.audit_context).await?;
            return Ok(Err(NotDone::Wrong));
        };
        let on = (&self.second, step, standing.on.is_some());
        turn_on(tx, &account, on, Some(self.caller.session), &self.audit_context).await.map(Ok)
    }
}

/// Makes new recovery codes.
#[derive(Clone)]
pub struct Regenerate {
    /// The right to, and the hashes of the new codes.
    pub own: Reauthentication,
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
        let Reauthentication { user, second, audit_context, .. } = &self.own;
        store::replace_recovery(tx, *user, second.fresh(), audit_context.now).await?;
        let entry = audit_context.of(AuditData::RecoveryCodesRegenerated, Some(*user), None);
        audit::store::record(tx, entry).await?;
        let text =
            |Said { name, at, address }| EmailTemplate::RecoveryCodesMade { name, at, address };
        tell(tx, &second.done, &account.user, audit_context, text).await?;
        Ok(Ok(()))
    }
}

/// Takes one's own second factor off.
#[derive(Clone)]
pub struct Disable {
    /// The right to.
    pub own: Reauthentication,
    /// The log-in that does it, and stays logged in.
    pub session: Uuid,
}

impl UnitOfWork for Disable {
    /// What is still accepted; nothing where it was done by the same request before.
    type Output = Done<Option<TokenCutoff>>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let account = match self.own.check(tx).await? {
            Ok(Some(Checked::Right(account))) => *account,
            Ok(Some(Checked::Off(_))) => return Ok(Err(NotDone::NotThere)),
            Ok(None) => return Ok(Ok(None)),
            Err(not) => return Ok(Err(not)),
        };
        let Reauthentication { user, second, idempotency_key, audit_context, .. } = &self.own;
        if second.factors.required(account.user.role) {
            return Err(required());
        }
        store::take_off(tx, *user).await?;
        let text =
            |Said { name, at, address }| EmailTemplate::SecondFactorOff { name, at, address };
        tell(tx, &second.done, &account.user, audit_context, text).await?;
        let least = account.next_generation(audit_context.now);
        let ended = TokenCutoff { least, kept: Some(self.session) };
        let act = commands::AccountEventDraft {
            event: UserEvent::SecondFactorDisabled,
            actor: *user,
            ended: Some(ended),
            audited: Some((AuditData::SecondFactorDisabled, audit_context)),
        };
        finish(tx, account, act, idempotency_key, audit_context.now).await?;
        Ok(Ok(Some(ended)))
    }
}
