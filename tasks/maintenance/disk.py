"""Give back disk: images that earlier builds left, orphans in the engine, caches of our tools."""

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.errors import EngineUnavailable
from tasks import operation
from tasks.containers.built_images import remove_old_images
from tasks.containers.docker_engine import engine
from tasks.containers.run_engine import remove_orphans
from tasks.workspace.package_cache import bound_cache


@operation("give back disk that earlier runs of {environment.name} filled")
def give_back_disk(environment: Environment) -> str:
    """Remove what is beyond the policy's limits from the engine and this worker's disk.

    Returns what went, in a sentence. An engine that does not answer is no failure here.
    """
    policy, said = environment.policy, []
    try:
        with engine(environment) as client:
            remove_orphans(client)
            if images := remove_old_images(client, policy.built_images):
                said.append(f"{images} images of earlier builds")
    except EngineUnavailable as error:
        get_run_logger().warning("images of earlier builds stay: %s", error)
    if megabytes := bound_cache(environment.data_dir / "cache", policy.cache_mb):
        said.append(f"{megabytes} MB of package caches")
    sentence = f"removed {' and '.join(said)}" if said else "nothing was beyond its limit"
    get_run_logger().info("%s", sentence)
    return sentence
