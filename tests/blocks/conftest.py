from tests.tasks.conftest import aws as aws
