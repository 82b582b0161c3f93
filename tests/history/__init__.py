"""A checker of histories in the manner of Jepsen. It imports nothing of the product: it must not share its bugs."""
