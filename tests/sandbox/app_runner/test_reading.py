"""Lists and their pages, tags, custom domains, auto scaling configurations."""

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.app_runner.account import V1, V2, source


@pytest.fixture
def scaled(account):
    """Creates auto scaling configurations and returns their descriptions."""

    def create(name="two-or-more", **sizes):
        answer = account.client.create_auto_scaling_configuration(
            AutoScalingConfigurationName=name, **sizes
        )
        return answer["AutoScalingConfiguration"]

    return create


class TestPages:
    def test_operations_come_newest_first_page_by_page(self, account):
        arn = account.create(V1)
        for image in (V2, V1, V2, V1):
            account.update(arn, image)

        pages, token = [], {}
        while True:
            answer = account.client.list_operations(ServiceArn=arn, MaxResults=2, **token)
            pages.append(answer["OperationSummaryList"])
            if "NextToken" not in answer:
                break
            token = {"NextToken": answer["NextToken"]}

        assert [len(page) for page in pages] == [2, 2, 1]
        listed = [operation for page in pages for operation in page]
        assert len({operation["Id"] for operation in listed}) == 5
        assert listed[-1]["Type"] == "CREATE_SERVICE"
        starts = [operation["StartedAt"] for operation in listed]
        assert starts == sorted(starts, reverse=True)
        assert {operation["TargetArn"] for operation in listed} == {arn}

    def test_services_come_page_by_page(self, account):
        names = {f"service-{number}" for number in range(5)}
        for name in names:
            account.create(V1, name)

        first = account.client.list_services(MaxResults=3)
        second = account.client.list_services(MaxResults=3, NextToken=first["NextToken"])

        assert "NextToken" not in second
        listed = first["ServiceSummaryList"] + second["ServiceSummaryList"]
        assert {service["ServiceName"] for service in listed} == names
        assert {service["Status"] for service in listed} == {"RUNNING"}

    @pytest.mark.parametrize("token", ["nonsense", "ZnJvbTp4", "w7bDtg=="])
    def test_a_token_that_was_never_given_is_refused(self, account, token):
        with pytest.raises(account.client.exceptions.InvalidRequestException):
            account.client.list_services(NextToken=token)

    def test_a_new_operation_may_be_missing_from_the_list_for_a_while(self, emulator):
        account = emulator(operations_lag=1.0)
        answer = account.client.create_service(
            ServiceName="kanvaro-blue", SourceConfiguration=source(V1)
        )
        arn, operation = answer["Service"]["ServiceArn"], answer["OperationId"]

        assert account.operations(arn) == []
        listed = account.until(lambda: account.operations(arn), len)
        assert listed[0]["Id"] == operation


class TestTags:
    def test_tags_are_added_changed_and_removed(self, account):
        arn = account.create(V1, Tags=[{"Key": "colour", "Value": "blue"}, {"Key": "run"}])
        account.client.tag_resource(ResourceArn=arn, Tags=[{"Key": "colour", "Value": "green"}])
        account.client.untag_resource(ResourceArn=arn, TagKeys=["run", "never-there"])

        tags = account.client.list_tags_for_resource(ResourceArn=arn)["Tags"]

        assert tags == [{"Key": "colour", "Value": "green"}]

    def test_at_most_fifty_tags(self, account):
        arn = account.create(V1)
        many = [{"Key": str(number), "Value": ""} for number in range(51)]

        with pytest.raises(account.client.exceptions.InvalidRequestException):
            account.client.tag_resource(ResourceArn=arn, Tags=many)

        assert account.client.list_tags_for_resource(ResourceArn=arn)["Tags"] == []

    def test_an_unknown_resource_has_no_tags(self, account):
        arn = account.create(V1)[:-4] + "0000"

        with pytest.raises(account.client.exceptions.ResourceNotFoundException):
            account.client.list_tags_for_resource(ResourceArn=arn)


def test_there_are_no_custom_domains(account):
    arn = account.create(V1)

    answer = account.client.describe_custom_domains(ServiceArn=arn)

    assert answer["CustomDomains"] == []
    assert answer["DNSTarget"] == account.service(arn)["ServiceUrl"]


class TestAutoScalingConfigurations:
    def test_the_same_name_gets_another_revision(self, account, scaled):
        first, second = scaled(MinSize=2), scaled(MinSize=3)

        assert (first["AutoScalingConfigurationRevision"], second["MinSize"]) == (1, 3)
        assert second["AutoScalingConfigurationRevision"] == 2
        short = second["AutoScalingConfigurationArn"].rsplit("/", 2)[0]
        latest = account.client.describe_auto_scaling_configuration(
            AutoScalingConfigurationArn=short
        )
        assert latest["AutoScalingConfiguration"]["AutoScalingConfigurationRevision"] == 2

    def test_a_service_starts_with_its_smallest_size(self, account, scaled):
        arn = account.create(
            V1, AutoScalingConfigurationArn=scaled(MinSize=3)["AutoScalingConfigurationArn"]
        )

        assert len(account.app_runner.instances.running) == 3
        seen = {account.get(arn).json()["instance"] for _ in range(12)}
        assert seen == set(account.app_runner.instances.running)

    def test_an_update_may_change_the_size_alone(self, account, scaled):
        arn = account.create(V1)
        answer = account.client.update_service(
            ServiceArn=arn,
            AutoScalingConfigurationArn=scaled(MinSize=2)["AutoScalingConfigurationArn"],
        )

        assert account.finish(arn, answer["OperationId"]) == "SUCCEEDED"
        account.until(lambda: len(account.app_runner.instances.running), lambda n: n == 2)
        assert account.revision(arn) == "v1"

    def test_one_that_is_used_cannot_be_deleted(self, account, scaled):
        used = scaled(MinSize=2)["AutoScalingConfigurationArn"]
        account.create(V1, AutoScalingConfigurationArn=used)

        for arn in (used, _default(account)):
            with pytest.raises(account.client.exceptions.InvalidRequestException):
                account.client.delete_auto_scaling_configuration(AutoScalingConfigurationArn=arn)

    def test_a_deleted_one_is_inactive_and_not_listed(self, account, scaled):
        arn = scaled()["AutoScalingConfigurationArn"]

        answer = account.client.delete_auto_scaling_configuration(AutoScalingConfigurationArn=arn)

        assert answer["AutoScalingConfiguration"]["Status"] == "INACTIVE"
        assert [c["AutoScalingConfigurationName"] for c in _listed(account)] == [
            "DefaultConfiguration"
        ]

    def test_only_the_latest_revisions_are_listed_unless_all_are_wanted(self, account, scaled):
        for size in (1, 2, 3):
            scaled(MinSize=size)

        assert len(_listed(account)) == 2
        revisions = [
            c["AutoScalingConfigurationRevision"]
            for c in _listed(account, LatestOnly=False, AutoScalingConfigurationName="two-or-more")
        ]
        assert revisions == [3, 2, 1]

    @pytest.mark.parametrize(
        "sizes", [{"MinSize": 3, "MaxSize": 2}, {"MaxSize": 26}, {"name": "DefaultConfiguration"}]
    )
    def test_sizes_that_make_no_sense_are_refused(self, scaled, sizes):
        with pytest.raises(ClientError, match="InvalidRequestException"):
            scaled(**sizes)


def _listed(account, **wanted):
    answer = account.client.list_auto_scaling_configurations(**wanted)
    return answer["AutoScalingConfigurationSummaryList"]


def _default(account):
    return next(c["AutoScalingConfigurationArn"] for c in _listed(account) if c["IsDefault"])
