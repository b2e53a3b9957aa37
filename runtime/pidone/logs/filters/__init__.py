"""What an app's lines lose before anybody gets them."""
