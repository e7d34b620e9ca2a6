// SPDX-License-Identifier: MIT
new Controller(new groovy.json.JsonSlurper().parse(new File(args[0]))).run()
