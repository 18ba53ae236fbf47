"""A session of a Python client that openapi-python-client has made from /openapi.json."""

import sys

from chittyconnect_client import AuthenticatedClient, Client
from chittyconnect_client.api.actors import actors_me, actors_register
from chittyconnect_client.api.audit import audit_list
from chittyconnect_client.api.connections import (
    connections_create,
    connections_remove,
    connections_status,
)
from chittyconnect_client.api.contexts import (
    contexts_change,
    contexts_create,
    contexts_list,
    contexts_remove,
    contexts_search,
    contexts_show,
)
from chittyconnect_client.api.delegation import (
    delegations_create,
    delegations_revoke,
    delegations_validate,
)
from chittyconnect_client.api.events import events_timeline
from chittyconnect_client.api.gateway import health
from chittyconnect_client.api.keys import keys_create, keys_list, keys_rotate
from chittyconnect_client import models
from chittyconnect_client.types import UNSET


def good(answer, kind):
    """The body of an answer that must be a success of this type."""
    assert 200 <= answer.status_code < 300, (answer.status_code, answer.content)
    assert isinstance(answer.parsed, kind), (type(answer.parsed), answer.content)
    return answer.parsed


def refused(answer, code):
    """The problem of an answer that must be a refusal with this code."""
    assert isinstance(answer.parsed, models.Problem), (answer.status_code, answer.content)
    assert answer.parsed.code == code, answer.content
    return answer.parsed


def run(base_url, token):
    """Runs the session as somebody whom nobody knows yet."""
    nobody = Client(base_url=base_url)
    api = AuthenticatedClient(base_url=base_url, token=token)
    assert good(health.sync_detailed(client=nobody), models.Health).service == "chittyconnect"

    # Oneself.
    before = good(actors_me.sync_detailed(client=api), models.OwnActor)
    assert isinstance(before.actor, models.UnregisteredActor), before
    draft = models.ActorRegistration(actor_type=models.ActorRegistrationActorType.AI, display_name="A client")
    good(actors_register.sync_detailed(client=api, body=draft), models.ActorReply)
    me = good(actors_me.sync_detailed(client=api), models.OwnActor)
    assert isinstance(me.actor, models.Actor) and me.actor.display_name == "A client", me

    # Contexts: made once, changed by who has seen the last version, listed, found, deleted.
    draft = models.ContextDraft(name="release-42", tools=["search"])
    made = contexts_create.sync_detailed(client=api, body=draft, idempotency_key="session-1")
    context = good(made, models.ContextReply).context
    again = contexts_create.sync_detailed(client=api, body=draft, idempotency_key="session-1")
    assert good(again, models.ContextReply).context.chitty_id == context.chitty_id
    assert again.headers["idempotency-replayed"] == "true"
    taken = refused(contexts_create.sync_detailed(client=api, body=draft), "name_taken")
    assert taken.existing_chitty_id == context.chitty_id
    patch = models.ContextPatch(status=models.ContextPatchStatus.INACTIVE)
    etag = made.headers["etag"]
    changed = contexts_change.sync_detailed(context.chitty_id, client=api, body=patch, if_match=etag)
    assert good(changed, models.ContextReply).context.status == "inactive"
    late = contexts_change.sync_detailed(context.chitty_id, client=api, body=patch, if_match=etag)
    refused(late, "precondition_failed")
    good(contexts_create.sync_detailed(client=api, body=models.ContextDraft(name="release-43")), models.ContextReply)
    first = good(contexts_list.sync_detailed(client=api, limit=1), models.ContextList)
    rest = good(contexts_list.sync_detailed(client=api, limit=1, cursor=first.next_cursor), models.ContextList)
    assert (len(first.contexts), len(rest.contexts), rest.next_cursor) == (1, 1, None)
    everything = models.ContextsSearchStatus.ALL
    found = good(contexts_search.sync_detailed(client=api, q="search", status=everything), models.ContextList)
    assert [one.chitty_id for one in found.contexts] == [context.chitty_id]
    problem = refused(contexts_list.sync_detailed(client=api, limit=1000), "validation_failed")
    assert problem.errors[0].pointer == "?limit"

    # Others who act for oneself.
    draft = models.DelegationDraft(target_service="chittyconnect", scopes=["contexts:read"], expires_in_seconds=60)
    delegation = good(delegations_create.sync_detailed(client=api, body=draft), models.DelegationReply).delegation
    question = models.ValidationDraft(token=delegation.token, target_service="ChittyConnect")
    verdict = good(delegations_validate.sync_detailed(client=nobody, body=question), models.ActiveToken)
    assert (verdict.active, verdict.aud) == (True, "ChittyConnect"), verdict
    good(delegations_revoke.sync_detailed(delegation.token_id, client=api), models.Revocation)
    verdict = good(delegations_validate.sync_detailed(client=nobody, body=question), models.InactiveToken)
    assert verdict.active is False, verdict
    draft = models.KeyDraft(name="deployment", scopes=["contexts:read"])
    key = good(keys_create.sync_detailed(client=api, body=draft), models.KeyReply).key
    by_key = Client(base_url=base_url, headers={"X-API-Key": key.key})
    good(contexts_show.sync_detailed(context.chitty_id, client=by_key), models.Context)
    refused(keys_list.sync_detailed(client=by_key), "insufficient_scope")
    rotation = models.Rotation(grace_seconds=0)
    good(keys_rotate.sync_detailed(key.key_id, client=api, body=rotation), models.KeyReply)
    refused(contexts_list.sync_detailed(client=by_key), "invalid_token")

    # A connection to a service.
    draft = models.LinkDraft(
        source_chitty_id=context.chitty_id,
        source_type=models.LinkDraftSourceType.CONTEXT,
        target_service="chittycanon",
        credentials=models.BearerCredential(type_=models.BearerCredentialType.BEARER, token="secret"),
    )
    connection = good(connections_create.sync_detailed(client=api, body=draft), models.LinkReply).connection
    health_of = connections_status.sync_detailed(connection.connection_id, client=api)
    assert good(health_of, models.LinkHealth).status == "active"
    good(connections_remove.sync_detailed(connection.connection_id, client=api), models.Disconnected)

    # What has happened.
    events = good(events_timeline.sync_detailed(client=api, entity=context.chitty_id), models.Timeline)
    assert events.events[-1].type_ == "context.created" and events.events[-1].at is not UNSET
    audit = good(audit_list.sync_detailed(client=api, entity=context.chitty_id), models.AuditList)
    assert audit.entries[0].outcome == "done"

    good(contexts_remove.sync_detailed(context.chitty_id, client=api), models.Deleted)
    refused(contexts_show.sync_detailed(context.chitty_id, client=api), "not_found")


if __name__ == "__main__":
    run(*sys.argv[1:])
    print("The session has ended well.")
