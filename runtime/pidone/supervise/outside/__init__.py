"""Services outside the container that apps wait for before their first start (`wait_for`)."""
