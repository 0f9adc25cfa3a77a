"""What SageMaker asks of a container: GET /ping and POST /invocations."""
