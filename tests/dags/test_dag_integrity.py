"""The shipped DAGs parse, and keep the ids and rules that operators rely on."""

from datetime import UTC, datetime, timedelta

import pytest
from lowtide.config.airflow_params import param_schemas

DAGS = {"baseline_training", "carbon_aware_retraining", "grid_history"}


@pytest.fixture(scope="module")
def dag_bag(airflow_db):
    from airflow.dag_processing.dagbag import DagBag
    from lowtide.config.loader import PROJECT_ROOT

    return DagBag(dag_folder=str(PROJECT_ROOT / "dags"))


pytestmark = pytest.mark.airflow


def test_every_file_parses(dag_bag):
    assert dag_bag.import_errors == {}
    assert set(dag_bag.dags) == DAGS


def test_task_ids_and_order_are_those_of_the_contract(dag_bag):
    dag = dag_bag.dags["carbon_aware_retraining"]
    assert [task.task_id for task in dag.topological_sort()] == ["wait_for_clean_grid", "train", "compare"]
    assert [task.task_id for task in dag_bag.dags["baseline_training"].tasks] == ["train"]


def test_only_training_takes_a_slot_of_the_gpu_pool(dag_bag):
    for dag in dag_bag.dags.values():
        for task in dag.tasks:
            assert (task.pool == "gpu") == (task.task_id == "train"), task


def test_every_dag_has_tags_documentation_no_catchup_and_retries(dag_bag):
    for dag in dag_bag.dags.values():
        assert dag.tags
        assert dag.doc_md
        assert dag.catchup is False
        for task in dag.tasks:
            assert task.retries is not None
            assert task.retries >= 2
            assert task.retry_delay.total_seconds() > 0


def test_an_immediate_run_need_not_queue_behind_a_waiting_one(dag_bag):
    assert dag_bag.dags["carbon_aware_retraining"].max_active_runs == 4


def test_every_param_is_nullable_and_defaults_to_what_the_file_says(dag_bag):
    dag = dag_bag.dags["carbon_aware_retraining"]
    assert set(dag.params) == set(param_schemas())
    for name, param in dag.params.items():
        assert param.value is None, name
        assert param.resolve() is None, name


def test_the_baseline_is_not_asked_about_waiting(dag_bag):
    assert not {"policy", "deadline", "start_now", "baseline_run_id"} & set(dag_bag.dags["baseline_training"].params)


def test_the_sensor_is_deferrable(dag_bag):
    assert dag_bag.dags["carbon_aware_retraining"].get_task("wait_for_clean_grid").deferrable is True


def test_no_param_can_name_code_to_import(dag_bag):
    for dag in dag_bag.dags.values():
        assert not [name for name in dag.params if "path" in name or name in ("model", "data")]


def test_the_history_is_stored_every_hour_by_one_run_at_a_time_and_may_go_far_back(dag_bag):
    dag = dag_bag.dags["grid_history"]
    upstream = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    # recover depends on no other task: killed runs are recovered while the provider is unavailable
    assert upstream == {"record": set(), "recover": set(), "settle": {"record", "recover"}, "savings": {"settle"}}
    assert dag.get_task("savings").trigger_rule == "none_failed"
    assert dag.max_active_runs == 1
    assert set(dag.params) == {"config", "zone", "days"}
    assert all(param.value is None for param in dag.params.values())
    assert dag.timetable.expression == "7 * * * *"


WEDNESDAY = datetime(2026, 11, 25, tzinfo=UTC)
FIRST_RUNS = [
    # one hour, and one minute, after the schedule's last time; in winter London's clock shows UTC
    ("carbon_aware_retraining", WEDNESDAY + timedelta(hours=23), WEDNESDAY + timedelta(hours=46)),
    ("carbon_aware_retraining", WEDNESDAY + timedelta(hours=22, minutes=1), WEDNESDAY + timedelta(hours=22)),
    ("baseline_training", WEDNESDAY - timedelta(days=3) + timedelta(hours=13), WEDNESDAY + timedelta(days=4, hours=12)),
    ("baseline_training", WEDNESDAY, WEDNESDAY + timedelta(days=4, hours=12)),
    ("grid_history", WEDNESDAY + timedelta(minutes=13), WEDNESDAY + timedelta(minutes=67)),
    ("grid_history", WEDNESDAY + timedelta(minutes=59), WEDNESDAY + timedelta(minutes=67)),
]


@pytest.fixture
def first_run(dag_bag, monkeypatch):
    """When the scheduler would first run a DAG that is unpaused at a given time; the DAG as the scheduler loads it."""
    import pendulum
    from airflow.serialization.serialized_objects import DagSerialization

    def when(dag_id, now):
        monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: pendulum.instance(now))
        dag = DagSerialization.from_json(DagSerialization.to_json(dag_bag.dags[dag_id]))
        return dag.next_dagrun_info(last_automated_run_info=None).run_after

    return when


@pytest.mark.parametrize(("dag_id", "unpaused_at", "expected"), FIRST_RUNS)
def test_unpausing_starts_no_run_whose_time_has_passed(first_run, dag_id, unpaused_at, expected):
    assert first_run(dag_id, unpaused_at) == expected
    assert expected > unpaused_at - timedelta(minutes=5), "only a scheduler that is a little late is made allowance for"
