use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "appointments")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub appointment_id: Uuid,
    pub customer_id: Uuid,
    pub customer_display_name: String,
    pub starts_at: DateTimeUtc,
    pub ends_at: DateTimeUtc,
    pub state: String,
    pub note: String,
    pub time_zone: String,
    pub local_start: String,
    pub cancel_reason: String,
    pub version: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub type_id: Option<Uuid>,
    pub claim_starts_at: DateTimeUtc,
    pub claim_ends_at: DateTimeUtc,
    pub expires_at: Option<DateTimeUtc>,
    pub terms: Json,
    pub stamp: i64,
    pub claim_of: Option<Uuid>,
    pub customer_updated_at: Option<DateTimeUtc>,
    pub move_expires_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
