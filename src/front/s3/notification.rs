//! Notification configuration of a bucket, between its document and the model.
//!
//! Topic, queue and function elements are kept apart because they come back apart; all of them name webhooks.
//!
//! **Invariant:** rules are kept only after all of them were found sound, each for a target that is configured; who may
//! not set them learns nothing of what is wrong with them.

use s3s::S3Request;
use s3s::dto::{
    Event, FilterRule, FilterRuleName, GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput, LambdaFunctionConfiguration, NotificationConfigurationFilter,
    PutBucketNotificationConfigurationInput, PutBucketNotificationConfigurationOutput, QueueConfiguration, S3KeyFilter,
    TopicConfiguration,
};

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::wire;
use crate::model::action::Action;
use crate::model::bucket::BucketConfig;
use crate::model::id::RequestId;
use crate::model::notification::{Kind, Notification, Rule};

/// PutBucketNotificationConfiguration. A document without a rule removes what is kept.
pub(super) async fn put(
    gateway: &Gateway,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> Result<PutBucketNotificationConfigurationOutput> {
    let caller = caller(&request.extensions);
    let bucket = wire::bucket(&request.input.bucket)?;
    gateway.store.config(&caller, &bucket, Action::PutBucketNotification).await?;
    let document = request.input.notification_configuration;
    if document.event_bridge_configuration.is_some() {
        return Err(Refusal::not_implemented("EventBridgeConfiguration"));
    }
    let topics = document.topic_configurations.into_iter().flatten();
    let queues = document.queue_configurations.into_iter().flatten();
    let functions = document.lambda_function_configurations.into_iter().flatten();
    let rules = topics
        .map(|topic| rule(Kind::Topic, topic.id, topic.topic_arn, topic.events, topic.filter))
        .chain(queues.map(|queue| rule(Kind::Queue, queue.id, queue.queue_arn, queue.events, queue.filter)))
        .chain(functions.map(|f| rule(Kind::Function, f.id, f.lambda_function_arn, f.events, f.filter)));
    let notification = Notification { rules: rules.collect::<Result<_>>()? };
    let unsound = notification.check(|name| gateway.store.has_target(name));
    unsound.map_err(|error| Refusal::new(400, "InvalidArgument", error.to_string()))?;
    let kept = Some(notification).filter(|notification| !notification.rules.is_empty());
    let change = |config: &mut BucketConfig, _: &_| {
        config.notification.clone_from(&kept);
        Ok(())
    };
    gateway.store.change_config(&caller, &bucket, Action::PutBucketNotification, change).await?;
    Ok(PutBucketNotificationConfigurationOutput::default())
}

/// GetBucketNotificationConfiguration.
pub(super) async fn get(
    gateway: &Gateway,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> Result<GetBucketNotificationConfigurationOutput> {
    let bucket = wire::bucket(&request.input.bucket)?;
    let caller = caller(&request.extensions);
    let found = gateway.store.config(&caller, &bucket, Action::GetBucketNotification).await?;
    let Some(notification) = &found.config.notification else {
        return Ok(GetBucketNotificationConfigurationOutput::default());
    };
    let of = |kind| notification.rules.iter().filter(move |rule| rule.kind == kind);
    let topic = |rule: &Rule| TopicConfiguration {
        events: events(rule),
        filter: filter(rule),
        id: Some(rule.id.clone()),
        topic_arn: rule.arn.clone(),
    };
    let queue = |rule: &Rule| QueueConfiguration {
        events: events(rule),
        filter: filter(rule),
        id: Some(rule.id.clone()),
        queue_arn: rule.arn.clone(),
    };
    let function = |rule: &Rule| LambdaFunctionConfiguration {
        events: events(rule),
        filter: filter(rule),
        id: Some(rule.id.clone()),
        lambda_function_arn: rule.arn.clone(),
    };
    Ok(GetBucketNotificationConfigurationOutput {
        event_bridge_configuration: None,
        lambda_function_configurations: some(of(Kind::Function).map(function).collect()),
        queue_configurations: some(of(Kind::Queue).map(queue).collect()),
        topic_configurations: some(of(Kind::Topic).map(topic).collect()),
    })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn rule(
    kind: Kind,
    id: Option<String>,
    arn: String,
    events: Vec<Event>,
    filter: Option<NotificationConfigurationFilter>,
) -> Result<Rule> {
    let events = events.into_iter().map(String::from).collect();
    let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| RequestId::fresh().as_str().to_owned());
    let mut rule = Rule { id, kind, arn, events, ..Rule::default() };
    let terms = filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules);
    for FilterRule { name, value } in terms.into_iter().flatten() {
        let name = name.map(|name| name.as_str().to_ascii_lowercase()).unwrap_or_default();
        let term = match name.as_str() {
            FilterRuleName::PREFIX => &mut rule.prefix,
            FilterRuleName::SUFFIX => &mut rule.suffix,
            _ => {
                return Err(Refusal::argument(
                    "FilterRule.Name",
                    &name,
                    "filter rule name must be either prefix or suffix",
                ));
            }
        };
        if term.replace(value.unwrap_or_default()).is_some() {
            let message = "Cannot specify more than one prefix and one suffix rule in a filter.";
            return Err(Refusal::argument("FilterRule.Name", &name, message));
        }
    }
    Ok(rule)
}

fn events(rule: &Rule) -> Vec<Event> {
    rule.events.iter().map(|event| Event::from(event.clone())).collect()
}

fn filter(rule: &Rule) -> Option<NotificationConfigurationFilter> {
    let term = |name, value: &Option<String>| {
        let value = value.clone()?;
        Some(FilterRule { name: Some(FilterRuleName::from_static(name)), value: Some(value) })
    };
    let prefix = term(FilterRuleName::PREFIX, &rule.prefix);
    let rules: Vec<_> = prefix.into_iter().chain(term(FilterRuleName::SUFFIX, &rule.suffix)).collect();
    let key = some(rules).map(|rules| S3KeyFilter { filter_rules: Some(rules) })?;
    Some(NotificationConfigurationFilter { key: Some(key) })
}
