// SPDX-License-Identifier: MIT
package com.cloudbees.groovy.cps

/** What Jenkins has by this name: the method is not transformed, and may hold what cannot be kept. */
@interface NonCPS {
}
