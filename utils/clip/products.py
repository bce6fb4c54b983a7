"""Products of matrices for linear layers, and sums over rows, in the form in which the processor at hand is fast."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

KEPT = "product"  # the name under which `jax.checkpoint` knows what a gradient keeps, as it keeps other products


def product_of_all_rows(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """The product of (..., inputs) and (inputs, outputs), (..., outputs), all rows in one matrix.

    The gradient of the kernel is a product of two matrices then, for which XLA need not turn the activations round
    in memory first: on a CPU a training step takes a tenth less time.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    if rows.dtype == jnp.bfloat16 and jax.default_backend() == "cpu":
        products = checkpoint_name(bfloat16_product(rows, kernel), KEPT)
    else:
        products = jax.lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())))
    return products.reshape(*inputs.shape[:-1], kernel.shape[1])


@jax.custom_vjp
def bfloat16_product(rows: jax.Array, kernel: jax.Array) -> jax.Array:
    """The product of (rows, inputs) and (inputs, outputs), all bfloat16, on a CPU, and so are its gradients' products.

    XLA for CPUs raises bfloat16 to float32 before a product, and gains nothing by it, unless the product itself is
    asked for in float32: then processors with instructions for such products take half the time. The derivative that
    JAX makes of this would multiply float32 by bfloat16, slowly again, so it is written here.
    """
    return _product(rows, kernel).astype(rows.dtype)


def _forward(rows: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return bfloat16_product(rows, kernel), (rows, kernel)


def _backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    rows, kernel = kept
    of_rows = _product(gradient, kernel, 1)
    # In bfloat16 the first factor must be summed along its rows, so it is turned round in memory. XLA would undo that:
    # the barrier keeps it from doing so, and so does a batch of one matrix, which it drops later.
    turned = jax.lax.optimization_barrier(rows.T[None])
    of_kernel = jax.lax.dot_general(
        turned, gradient[None], (((2,), (1,)), ((0,), (0,))), preferred_element_type=jnp.float32
    )[0]
    return of_rows.astype(rows.dtype), of_kernel.astype(kernel.dtype)


def _product(left: jax.Array, right: jax.Array, right_axis: int = 0) -> jax.Array:
    """Sums products of bfloat16 along the last axis of the left and one of the right, to float32."""
    return jax.lax.dot_general(left, right, (((1,), (right_axis,)), ((), ())), preferred_element_type=jnp.float32)


bfloat16_product.defvjp(_forward, _backward)


def add_to_rows(products: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds (outputs,) to each row of (..., outputs)."""
    return _add(products, bias) if jax.default_backend() == "cpu" else products + bias


@jax.custom_vjp
def _add(products: jax.Array, bias: jax.Array) -> jax.Array:
    """Their sum, with a gradient of the bias, a sum over thousands of rows, as a product with ones.

    XLA for CPUs takes 3 to 28 times as long for the sum.
    """
    return products + bias


def _add_forward(products: jax.Array, bias: jax.Array) -> tuple[jax.Array, None]:
    return products + bias, None


def _add_backward(_: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    rows = gradient.reshape(-1, gradient.shape[-1])
    ones = jnp.ones(len(rows), rows.dtype)
    return gradient, jnp.matmul(ones, rows, preferred_element_type=jnp.float32).astype(rows.dtype)


_add.defvjp(_add_forward, _add_backward)
